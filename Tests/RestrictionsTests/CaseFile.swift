import Foundation
import Resolver
import SMTPCore
import Settings
import Tables
import Testing

@testable import Restrictions
@testable import Routing

/// The cases of `Cases/*.cases`: configurations, and what Postfix answered (oracle.py wrote it down).
struct CaseFile {
    struct Case: Sendable, CustomTestStringConvertible {
        var title: String
        var settings: [String: String]
        var facts: [(name: String, value: String)]
        var expected: String
        var place: String

        var testDescription: String { "\(place) [\(title)]" }
    }

    static func cases(_ name: String) throws -> [Case] {
        let url = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Cases/\(name).cases")
        var shared = [
            "myhostname": "mx.test.example", "default_transport": "discard:", "local_transport": "discard:", "relay_transport": "discard:",
            "virtual_transport": "discard:", "alias_maps": "", "inet_protocols": "ipv4",
        ]
        var section: [String: String] = [:]
        var title = ""
        var cases: [Case] = []
        for (index, line) in try String(contentsOf: url, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            func assignment(_ text: some StringProtocol) throws -> (String, String) {
                let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                try #require(parts.count == 2, "\(name):\(index + 1)")
                return (parts[0].trimmingCharacters(in: .whitespaces), parts[1].trimmingCharacters(in: .whitespaces))
            }
            switch line.first {
            case nil, "#": continue
            case "!":
                let (key, value) = try assignment(line.dropFirst())
                shared[key] = value
            case "[":
                section = [:]
                title = String(line.dropFirst().dropLast())
            case " ":
                let parts = line.components(separatedBy: " => ")
                try #require(parts.count == 2, "\(name):\(index + 1)")
                cases.append(
                    Case(
                        title: title,
                        settings: shared.merging(section) { $1 },
                        facts: words(parts[0]),
                        expected: parts[1],
                        place: "\(name):\(index + 1)"
                    )
                )
            default:
                let (key, value) = try assignment(line)
                section[key] = value
            }
        }
        return cases
    }

    /// `name=value`, where a value may hold blanks inside double quotes.
    private static func words(_ text: String) -> [(name: String, value: String)] {
        text.matches(of: /(\w+)=((?:"[^"]*"|\S)*)/).map { (String($0.1), String($0.2)) }
    }

    static func address(_ text: String) -> Address {
        if text.isEmpty { return .null }
        var local = text
        var domain: String?
        if let at = text.lastIndex(of: "@") {
            local = String(text[..<at])
            domain = String(text[text.index(after: at)...])
        }
        if local.count > 1, local.hasPrefix("\""), local.hasSuffix("\"") { local = String(local.dropFirst().dropLast()) }
        return Address(localPart: local, domain: domain)
    }
}

/// Plays one case as a session would.
struct CasePlayer {
    let evaluator: RestrictionEvaluator
    private(set) var decisions: [Decision] = []

    init(_ settings: [String: String], names: any NameService) throws {
        let settings = ServiceSettings.testing(settings)
        let tables = TableRegistry()
        let router = try AddressRouter(settings: settings, tables: tables, ownAddresses: [.v4(0x7F00_0001)])
        evaluator = try RestrictionEvaluator(settings: settings, tables: tables, router: router, names: names)
    }

    mutating func play(_ words: [(name: String, value: String)]) async throws -> String {
        func value(_ name: String) -> String? { words.first { $0.name == name }?.value }
        let client = try #require(IPAddress(value("client") ?? "192.0.2.1"))
        var peer = PeerName.unknown
        if let name = value("name") { peer = PeerName(name: name, reverseName: name, status: .verified) }
        if let reverse = value("reverse") { peer.reverseName = reverse }
        var facts = SessionFacts(clientAddress: client, peerName: peer)
        facts.saslUsername = value("login")
        facts.saslMethod = facts.saslUsername == nil ? nil : "XCLIENT"
        if let reply = await ask(.connect, &facts) { return reply }
        facts.heloName = String((value("helo") ?? "helo.example").map { "<>()\\\";@".contains($0) ? "?" : $0 })
        if let reply = await ask(.helo, &facts) { return reply }
        facts.sender = CaseFile.address(value("from") ?? "s@sender.example")
        if let reply = await ask(.mail, &facts) { return reply }
        var last: String?
        for word in words where word.name == "to" {
            facts.recipient = CaseFile.address(word.value)
            last = await ask(.rcpt, &facts)
            if last == nil { facts.recipientCount += 1 }
        }
        return last ?? "ok"
    }

    private mutating func ask(_ stage: RestrictionStage, _ facts: inout SessionFacts) async -> String? {
        let decision = await evaluator.evaluate(stage, facts)
        decisions.append(decision)
        if stage != .rcpt, facts.pendingDeferral == nil { facts.pendingDeferral = decision.pendingDeferral }
        return decision.rejection?.logText
    }
}
