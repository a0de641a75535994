import NIOCore
import NIOPosix
import SMTPCore
import Synchronization
import Testing

@testable import Resolver

/// The whole resolver against a scripted server on loopback.
@Suite struct StubResolverTests {
    private let group = MultiThreadedEventLoopGroup.singleton
    private let ip = IPAddress.v4(0xC000_0201)

    private func resolver(_ servers: [Int], limits: ResolverLimits = ResolverLimits(), hosts: String = "") -> StubResolver {
        var configuration = ResolverConfiguration()
        configuration.servers = servers.map { .init(.v4(0x7F00_0001), port: $0) }
        configuration.timeout = 2
        configuration.attempts = 2
        configuration.hosts = HostsFile(parsing: hosts)
        return StubResolver(configuration, group: group, limits: limits)
    }

    /// Runs `body` with a server that answers by `script`, and ends the server.
    private func serving(
        _ script: @escaping ScriptedNameServer.Script,
        body: (ScriptedNameServer) async throws -> Void
    ) async throws {
        let server = try await ScriptedNameServer(group: group, script: script)
        do { try await body(server) } catch {
            try await server.stop()
            throw error
        }
        try await server.stop()
    }

    /// Answers A questions with 192.0.2.1 and others with noData.
    private static let plain: ScriptedNameServer.Script = { query in
        let answers: [Response.Record] = query.question.type == .a ? [.a(query.question.name.description, "192.0.2.1")] : []
        return [Response(query, answers: answers, authorities: answers.isEmpty ? [.soa("example", minimum: 60)] : []).bytes]
    }

    @Test func bothFamiliesAndTheCache() async throws {
        try await serving({ query in
            let name = query.question.name.description
            return [Response(query, answers: [query.question.type == .a ? .a(name, "192.0.2.1") : .aaaa(name, "2001:db8::1")]).bytes]
        }) { server in
            let names = resolver([server.port])
            let expected = NameAnswer.found([ip, IPAddress.v6(high: 0x2001_0DB8_0000_0000, low: 1)])
            #expect(await names.addresses(of: "Mail.Example") == expected)
            #expect(await names.addresses(of: "mail.example.") == expected)
            #expect(server.queries.count == 2)
            #expect(Set(server.queries.map(\.question.type)) == [.a, .aaaa])
            #expect(server.queries.allSatisfy { $0.hasEDNS })
        }
    }

    @Test func identicalQuestionsAreAskedOnce() async throws {
        try await serving(Self.plain) { server in
            let names = resolver([server.port])
            await withTaskGroup(of: NameAnswer<[IPAddress]>.self) { tasks in
                for _ in 0..<200 { tasks.addTask { await names.addresses(of: "mail.example") } }
                for await answer in tasks { #expect(answer == .found([ip])) }
            }
            // TTLs are positive, so late comers find the cache.
            #expect(server.queries.count == 2)
            #expect(names.desk.outstanding == 0)
        }
    }

    @Test func manyDifferentQuestionsAtOnce() async throws {
        try await serving(Self.plain) { server in
            let names = resolver([server.port])
            await withTaskGroup(of: NameAnswer<[IPAddress]>.self) { tasks in
                for index in 0..<60 { tasks.addTask { await names.addresses(of: "host\(index).example") } }
                for await answer in tasks { #expect(answer == .found([ip])) }
            }
            #expect(names.desk.outstanding == 0)
        }
    }

    @Test(arguments: [("nx", NameAnswer<[IPAddress]>.noSuchDomain), ("empty", .noData)])
    func negativeAnswers(label: String, expected: NameAnswer<[IPAddress]>) async throws {
        try await serving({ query in
            let isMissing = query.question.name.description.hasPrefix("nx")
            return [Response(query, code: isMissing ? 3 : 0, authorities: [.soa("example", minimum: 60)]).bytes]
        }) { server in
            let names = resolver([server.port])
            #expect(await names.addresses(of: "\(label).example") == expected)
            #expect(await names.addresses(of: "\(label).example") == expected)
            #expect(server.queries.count == 2)
        }
    }

    @Test func serverFailureMovesToTheNextServer() async throws {
        try await serving({ [Response($0, code: 2).bytes] }) { failing in
            try await serving(Self.plain) { good in
                #expect(await resolver([failing.port, good.port]).addresses(of: "mail.example") == .found([ip]))
                // A and AAAA; one that starts later finds the working server preferred already.
                #expect((1...2).contains(failing.queries.count))
            }
            let answer = await resolver([failing.port]).addresses(of: "mail.example")
            #expect(answer == .temporaryFailure("SERVFAIL from [127.0.0.1]:\(failing.port)"))
        }
    }

    @Test func aSilentServerIsLeftForAnother() async throws {
        try await serving({ _ in [] }) { silent in
            try await serving(Self.plain) { good in
                let names = resolver([silent.port, good.port])
                #expect(await names.addresses(of: "mail.example") == .found([ip]))
                let asked = silent.queries.count
                // The one that works is remembered.
                #expect(await names.addresses(of: "other.example") == .found([ip]))
                #expect(silent.queries.count == asked)
            }
            var limits = ResolverLimits()
            limits.lookupTime = .milliseconds(200)
            guard case .temporaryFailure(let reason) = await resolver([silent.port], limits: limits).addresses(of: "mail.example") else {
                Issue.record("no failure")
                return
            }
            // Whichever bound is noticed first when the machine is busy.
            #expect(reason.contains("mail.example A in the time allowed") || reason == "no answer from [127.0.0.1]:\(silent.port)")
        }
    }

    @Test func allAttemptsAreMadeBeforeGivingUp() async throws {
        try await serving({ _ in [] }) { silent in
            let answer = await resolver([silent.port]).mailExchangers(of: "example")
            #expect(answer == .temporaryFailure("no answer from [127.0.0.1]:\(silent.port)"))
            #expect(silent.queries.count == 2)
            // The same question on the same socket, so either answer would do.
            #expect(Set(silent.queries.map(\.id)).count == 1)
        }
    }

    @Test func aClosedPortIsNoticedAtOnce() async throws {
        // A port that was just free.
        let probe = try await DatagramBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(probe.localAddress?.port)
        try await probe.close()
        guard case .temporaryFailure(let reason) = await resolver([port]).addresses(of: "mail.example") else {
            Issue.record("no failure")
            return
        }
        #expect(reason.contains("refused"))
    }

    @Test func spoofedPacketsAreIgnored() async throws {
        try await serving({ query in
            let evil: [Response.Record] = [.a(query.question.name.description, "203.0.113.66")]
            let otherName = DNSQuestion(name: DomainName("other.example")!, type: query.question.type)
            let wrongID = Response(id: query.id &+ 1, question: query.question, answers: evil).bytes
            let wrongQuestion = Response(id: query.id, question: otherName, answers: evil).bytes
            let noQuestion = Response(id: query.id, question: nil, answers: evil).bytes
            let notAResponse = Response(id: query.id, question: query.question, flags: 0x0100, answers: evil).bytes
            return [wrongID, wrongQuestion, noQuestion, notAResponse, [1, 2, 3]] + Self.plain(query)
        }) { server in
            #expect(await resolver([server.port]).addresses(of: "mail.example") == .found([ip]))
        }
    }

    @Test func aFloodOfGuessesMovesTheQuestionToTCP() async throws {
        try await serving({ query in
            if query.overTCP { return Self.plain(query) }
            return (1...60).map {
                Response(id: query.id &+ $0, question: query.question, answers: [.a("mail.example", "203.0.113.66")]).bytes
            }
        }) { server in
            #expect(await resolver([server.port]).addresses(of: "mail.example") == .found([ip]))
            #expect(server.queries.contains { $0.overTCP })
        }
    }

    @Test func truncatedAnswersComeOverTCP() async throws {
        try await serving({ query in
            if !query.overTCP { return [Response(id: query.id, question: query.question, flags: 0x8380).bytes] }
            let records = (0..<100).map { Response.Record.mx("example", UInt16($0), "mx\($0).example") }
            return [Response(query, answers: records).bytes]
        }) { server in
            guard case .found(let exchangers) = await resolver([server.port]).mailExchangers(of: "example") else {
                Issue.record("not found")
                return
            }
            #expect(exchangers.map(\.preference) == Array(0..<100))
            #expect(server.queries.map(\.overTCP) == [false, true])
        }
    }

    @Test func overTCPOnly() async throws {
        try await serving(Self.plain) { server in
            var configuration = ResolverConfiguration()
            configuration.servers = [.init(.v4(0x7F00_0001), port: server.port)]
            configuration.usesTCPOnly = true
            let names = StubResolver(configuration, group: group)
            #expect(await names.addresses(of: "mail.example") == .found([ip]))
            #expect(server.queries.allSatisfy { $0.overTCP })
        }
    }

    @Test func anOldServerIsAskedWithoutEDNS() async throws {
        try await serving({ query in query.hasEDNS ? [Response(id: query.id, question: nil, flags: 0x8181).bytes] : Self.plain(query) }) {
            server in
            #expect(await resolver([server.port]).addresses(of: "mail.example") == .found([ip]))
        }
    }

    @Test func malformedRepliesAreATemporaryFailure() async throws {
        try await serving({ query in [Response(query).bytes.dropLast(3) + []] }) { server in
            guard case .temporaryFailure(let reason) = await resolver([server.port]).addresses(of: "mail.example") else {
                Issue.record("no failure")
                return
            }
            #expect(reason.hasPrefix("malformed reply"))
        }
    }

    @Test func aliasesAreFollowedAcrossAnswersAndBounded() async throws {
        try await serving({ query in
            let name = query.question.name.description
            // a1 -> a2 -> ... one alias per answer; a5 has the address, loop has none ever.
            if name == "a5.example" { return Self.plain(query) }
            let number = (Int(name.filter(\.isNumber)) ?? 0) + 1
            let next = name.hasPrefix("loop") ? "loop\(number).example" : "a\(number).example"
            return [Response(query, answers: [.cname(name, next)]).bytes]
        }) { server in
            let names = resolver([server.port])
            #expect(await names.addresses(of: "a1.example") == .found([ip]))
            #expect(await names.addresses(of: "loop.example") == .temporaryFailure("too many aliases"))
            #expect(server.queries.count < 40)
        }
    }

    @Test func mailExchangersInOrder() async throws {
        try await serving({ query in
            let name = query.question.name.description
            let records: [Response.Record] =
                switch name {
                case "null.example": [.mx(name, 0, "")]
                case "numbers.example": [.mx(name, 0, "192.0.2.1")]
                case "nonsense.example": [.mx(name, 0, "-.example")]
                default: [.mx(name, 20, "c.example"), .mx(name, 10, "a.example"), .mx(name, 10, "b.example"), .mx(name, 5, "-.example")]
                }
            return [Response(query, answers: records).bytes]
        }) { server in
            let names = resolver([server.port])
            #expect(await names.mailExchangers(of: "null.example") == .found([MailExchanger(preference: 0, host: "")]))
            #expect(await names.mailExchangers(of: "numbers.example") == .found([MailExchanger(preference: 0, host: "192.0.2.1")]))
            #expect(await names.mailExchangers(of: "nonsense.example") == .temporaryFailure("no MX record names a valid host"))
            // Who shuffles equal preferences is the relay.
            guard case .found(let found) = await names.mailExchangers(of: "example") else { Issue.record("no answer"); return }
            #expect(found.map(\.preference) == [10, 10, 20])
            #expect(Set(found.prefix(2).map(\.host)) == ["a.example", "b.example"])
        }
    }

    @Test func texts() async throws {
        try await serving({ [Response($0, answers: [.txt("example", ["v=spf1 ", "-all"])]).bytes] }) { server in
            #expect(await resolver([server.port]).texts(of: "example") == .found(["v=spf1 -all"]))
        }
    }

    @Test func answeredWithoutTheDNS() async throws {
        try await serving(Self.plain) { server in
            let names = resolver([server.port], hosts: "192.0.2.99 Box.example box\n2001:db8::9 box.example\n203.0.113.1 localhost")
            let loopback = [IPAddress.v4(0x7F00_0001), .v6(high: 0, low: 1)]
            #expect(await names.addresses(of: "192.0.2.7") == .found([.v4(0xC000_0207)]))
            #expect(await names.addresses(of: "::1") == .found([.v6(high: 0, low: 1)]))
            #expect(await names.addresses(of: "localhost") == .found(loopback))
            #expect(await names.addresses(of: "LocalHost.") == .found(loopback))
            #expect(await names.addresses(of: "x.localhost") == .found(loopback))
            #expect(await names.addresses(of: "box.EXAMPLE") == .found([.v4(0xC000_0263), .v6(high: 0x2001_0DB8_0000_0000, low: 9)]))
            #expect(await names.addresses(of: "a..b") == .noSuchDomain)
            #expect(await names.mailExchangers(of: "localhost") == .noData)
            #expect(server.queries.isEmpty)
        }
    }

    @Test func outstandingQuestionsAreBounded() async throws {
        try await serving({ _ in [] }) { silent in
            var limits = ResolverLimits()
            limits.outstanding = 4
            limits.lookupTime = .milliseconds(700)
            let names = resolver([silent.port], limits: limits)
            let answers = await withTaskGroup(of: NameAnswer<[MailExchanger]>.self, returning: [NameAnswer<[MailExchanger]>].self) {
                tasks in
                for index in 0..<20 { tasks.addTask { await names.mailExchangers(of: "d\(index).example") } }
                return await tasks.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.count { $0 == .temporaryFailure("too many outstanding questions") } == 16)
        }
    }
}
