import NIOCore
import NIOPosix
import SMTPCore
import Testing

@testable import Resolver

@Suite struct PeerNameTests {
    private let group = MultiThreadedEventLoopGroup.singleton

    /// PTR of 192.0.2.N is `ptrs[N]`; A of a name is `hosts[name]`.
    private static func script(ptrs: [Int: String], hosts: [String: String]) -> ScriptedNameServer.Script {
        { query in
            let name = query.question.name.description
            let soa = Response.Record.soa("example", minimum: 60)
            if query.question.type == .ptr {
                guard name.hasSuffix(".in-addr.arpa"),
                    let target = name.split(separator: ".").first.flatMap({ Int($0) }).flatMap({ ptrs[$0] })
                else {
                    return [Response(query, code: 3, authorities: [soa]).bytes]
                }
                if target == "servfail" { return [Response(query, code: 2).bytes] }
                return [Response(query, answers: [.ptr(name, target)]).bytes]
            }
            switch hosts[name.lowercased()] {
            case nil: return [Response(query, code: 3, authorities: [soa]).bytes]
            case "servfail": return [Response(query, code: 2).bytes]
            case "nodata": return [Response(query, authorities: [soa]).bytes]
            case let address?: return [Response(query, answers: [.a(name, address)]).bytes]
            }
        }
    }

    private static let script = script(
        ptrs: [
            1: "Good.example", 2: "elsewhere.example", 3: "gone.example", 4: "empty.example", 5: "broken.example", 6: "servfail",
            7: "not a name.example", 8: "192.0.2.8", 9: "localhost", 10: "box.example",
        ],
        hosts: ["good.example": "192.0.2.1", "elsewhere.example": "192.0.2.200", "empty.example": "nodata", "broken.example": "servfail"]
    )

    @Test(arguments: [
        ("192.0.2.1", "Good.example", "Good.example", PeerName.Status.verified),
        ("::ffff:192.0.2.1", "Good.example", "Good.example", .verified),
        ("192.0.2.2", "unknown", "elsewhere.example", .forged("")),
        ("192.0.2.3", "unknown", "gone.example", .forged("Name or service not known")),
        ("192.0.2.4", "unknown", "empty.example", .forged("No address associated with hostname")),
        ("192.0.2.5", "unknown", "broken.example", .temporaryFailure("Temporary failure in name resolution")),
        ("192.0.2.7", "unknown", "unknown", .none),
        ("192.0.2.8", "unknown", "unknown", .malformed("numeric hostname: 192.0.2.8")),
        ("192.0.2.9", "unknown", "localhost", .forged("")), ("192.0.2.10", "unknown", "box.example", .forged("")),
        ("192.0.2.77", "unknown", "unknown", .none), ("2001:db8::5", "unknown", "unknown", .none),
        ("127.0.0.1", "localhost", "localhost", .verified), ("::1", "localhost", "localhost", .verified),
        ("192.0.2.50", "Box.example", "Box.example", .verified),
        ("192.0.2.51", "unknown", "unknown", .malformed("valid_hostname: invalid character 64(decimal): b@d")),
    ])
    func names(address: String, name: String, reverseName: String, status: PeerName.Status) async throws {
        let server = try await ScriptedNameServer(group: group, script: Self.script)
        var configuration = ResolverConfiguration()
        configuration.servers = [.init(.v4(0x7F00_0001), port: server.port)]
        configuration.hosts = HostsFile(parsing: "192.0.2.50 Box.example box\n192.0.2.51 b@d\n")
        let peer = await StubResolver(configuration, group: group).peerName(of: try #require(IPAddress(address)))
        #expect(peer == PeerName(name: name, reverseName: reverseName, status: status))
        try await server.stop()
    }

    @Test func failedReverseLookup() async throws {
        let server = try await ScriptedNameServer(group: group, script: Self.script)
        var configuration = ResolverConfiguration()
        configuration.servers = [.init(.v4(0x7F00_0001), port: server.port)]
        let peer = await StubResolver(configuration, group: group).peerName(of: .v4(0xC000_0206))
        #expect(peer.reverseName == "unknown")
        #expect(peer.status == .temporaryFailure("SERVFAIL from [127.0.0.1]:\(server.port)"))
        try await server.stop()
    }

    @Test func slowZonesLeaveRoomForOthers() async throws {
        // Silent for reverse names, prompt otherwise.
        let server = try await ScriptedNameServer(group: group) { query in
            query.question.type == .ptr ? [] : [Response(query, answers: [.mx(query.question.name.description, 1, "mx.example")]).bytes]
        }
        var configuration = ResolverConfiguration()
        configuration.servers = [.init(.v4(0x7F00_0001), port: server.port)]
        var limits = ResolverLimits()
        limits.outstanding = 16
        limits.outstandingForPeers = 10
        limits.peersPerNetwork = 4
        limits.peerTime = .seconds(1)
        let names = StubResolver(configuration, group: group, limits: limits)
        await withTaskGroup(of: PeerName.self) { tasks in
            // Three networks of eight peers: four places each, ten in all.
            for index: UInt32 in 0..<24 { tasks.addTask { await names.peerName(of: .v4(0xC633_6400 + ((index / 8) << 8) + index % 8)) } }
            for _ in 0..<200 where names.desk.outstanding < 10 { try? await Task.sleep(for: .milliseconds(10)) }
            #expect(names.desk.outstanding == 10)
            #expect(await names.mailExchangers(of: "example") == .found([MailExchanger(preference: 1, host: "mx.example")]))
            var reasons: [String: Int] = [:]
            for await peer in tasks {
                guard case .temporaryFailure(let reason) = peer.status else {
                    Issue.record("\(peer)")
                    continue
                }
                reasons[reason.contains("in the time allowed") ? "time" : reason, default: 0] += 1
            }
            #expect(reasons["time"] == 10)
            #expect(reasons["too many name look-ups for clients of this network", default: 0] >= 4)
        }
        try await server.stop()
    }

    @Test func admissionCountsPeersNotSessions() {
        let admission = PeerAdmission(perNetwork: 2)
        let (a, b, c, far) = (IPAddress.v4(0xC000_0201), IPAddress.v4(0xC000_0202), IPAddress.v4(0xC000_0203), IPAddress.v4(0xC000_0301))
        for _ in 0..<100 { #expect(admission.enter(a)) }
        #expect(admission.enter(b))
        #expect(!admission.enter(c))
        #expect(admission.enter(far))
        for _ in 0..<99 { admission.leave(a) }
        #expect(!admission.enter(c))
        admission.leave(a)
        #expect(admission.enter(c))
    }
}
