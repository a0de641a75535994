import Foundation
import SMTPCore
import Testing

@testable import Resolver

@Suite struct ConfigurationTests {
    @Test func resolvConf() throws {
        var warnings: [String] = []
        let configuration = ResolverConfiguration(
            parsing: """
                # comment
                ; comment
                search example.com corp.example
                nameserver 192.0.2.53
                nameserver\t2001:db8::53   \r
                nameserver fe80::1%eth0
                nameserver
                nameserver 192.0.2.54
                nameserver 192.0.2.55
                options ndots:5 timeout:90 attempts:0 rotate edns0
                """,
            warnings: &warnings
        )
        #expect(configuration.servers.map(\.description) == ["192.0.2.53", "2001:db8::53", "192.0.2.54"])
        #expect(configuration.timeout == 30)
        #expect(configuration.attempts == 1)
        #expect(configuration.rotates)
        #expect(!configuration.usesTCPOnly)
        #expect(warnings.count == 2)
        #expect(warnings.first?.contains("line 6") == true)
    }

    @Test(arguments: ["", "options\n", "options timeout:x attempts: :\n", "nameserver nonsense", "\u{0}\u{0}"])
    func withoutServersItIsLoopback(text: String) {
        var warnings: [String] = []
        let configuration = ResolverConfiguration(parsing: text, warnings: &warnings)
        #expect(configuration.servers == [ResolverConfiguration.Server(.v4(0x7F00_0001))])
        #expect(configuration.timeout == 5)
        #expect(configuration.attempts == 2)
    }

    @Test func hostsFile() throws {
        let hosts = HostsFile(
            parsing: """
                127.0.0.1\tlocalhost
                127.0.1.1 Box.example.com box # the machine
                ::1 localhost ip6-localhost
                # 192.0.2.9 commented
                192.0.2.7 one.example
                192.0.2.7 two.example
                192.0.2.8 one.example
                192.0.2.300 bad.example
                192.0.2.10
                nonsense
                """
        )
        #expect(hosts.name(of: .v4(0x7F00_0101)) == "Box.example.com")
        #expect(hosts.addresses(of: "BOX.") == [.v4(0x7F00_0101)])
        #expect(hosts.addresses(of: "localhost") == [.v4(0x7F00_0001), .v6(high: 0, low: 1)])
        #expect(hosts.addresses(of: "one.example") == [.v4(0xC000_0207), .v4(0xC000_0208)])
        #expect(hosts.name(of: .v4(0xC000_0207)) == "one.example")
        #expect(hosts.addresses(of: "two.example") == [.v4(0xC000_0207)])
        #expect(hosts.addresses(of: "commented").isEmpty)
        #expect(hosts.addresses(of: "bad.example").isEmpty)
        #expect(hosts.name(of: .v4(0xC000_020A)) == nil)
    }

    @Test func readsFiles() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "resolver-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let hosts = folder.appending(path: "hosts")
        // Larger than one read.
        let text = (0..<20_000).map { "10.0.\($0 / 250).\($0 % 250) host\($0).example\n" }.joined()
        try Data(text.utf8).write(to: hosts)
        var warnings: [String] = []
        let read = try ResolverConfiguration.read(resolvConf: folder.path + "/missing", hosts: hosts.path, warnings: &warnings)
        #expect(read.hosts.addresses(of: "host19999.example") == [.v4(0x0A00_4FF9)])
        #expect(read.servers.count == 1)
        #expect(throws: ResolverConfigurationError.self) {
            try ResolverConfiguration.read(resolvConf: folder.path, hosts: hosts.path, warnings: &warnings)
        }
    }

    @Test func plans() {
        func waits(_ plan: AttemptPlan) -> [String] { plan.steps.map { "\($0.server):\($0.wait)" } }
        #expect(waits(AttemptPlan(servers: 1, first: 0, attempts: 2, timeout: 5)) == ["0:1000", "0:5000"])
        #expect(
            waits(AttemptPlan(servers: 3, first: 1, attempts: 2, timeout: 5)) == [
                "1:1000", "2:1000", "0:1000", "1:2000", "2:2000", "0:5000",
            ]
        )
        #expect(waits(AttemptPlan(servers: 2, first: 0, attempts: 1, timeout: 1)) == ["0:1000", "1:1000"])
    }
}
