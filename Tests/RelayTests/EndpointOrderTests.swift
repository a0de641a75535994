import PosternTesting
import Resolver
import SMTPCore
import Settings
import Tables
import Testing

@testable import Relay

/// The order in which the hosts of a domain are tried (RFC 5321 section 5.1).
@Suite struct EndpointOrderTests {
    private let names = ScriptedNameService(
        addresses: Dictionary(uniqueKeysWithValues: (1...8).map { ("mx\($0).example", .found([.v4(0xC000_0200 + $0)])) }),
        mailExchangers: [
            "example": .found((1...8).map { MailExchanger(preference: $0 == 8 ? 5 : 10, host: "mx\($0).example") })
        ]
    )

    private func hosts(_ parameters: [String: String]) async throws -> [String] {
        var problems: [Diagnostic] = []
        let settings = try #require(
            ClientSettings(.testing(parameters), dialect: .smtp, tables: TableRegistry(), ownAddresses: [], problems: &problems)
        )
        return try await EndpointFinder(settings: settings, names: names).endpoints(for: "example").map(\.host)
    }

    @Test func theBetterPreferenceComesFirstAndEqualOnesAsTheDNSSays() async throws {
        let found = try await hosts(["smtp_randomize_addresses": "no", "smtp_mx_address_limit": "0"])
        #expect(found == ["mx8.example"] + (1...7).map { "mx\($0).example" })
    }

    @Test func equalPreferencesShareTheLoad() async throws {
        var seconds: Set<String> = []
        for _ in 0..<200 {
            let found = try await hosts(["smtp_mx_address_limit": "0"])
            #expect(found.first == "mx8.example")
            #expect(Set(found).count == 8)
            seconds.insert(found[1])
        }
        // Seven hosts, 200 draws: that one of them never comes second has a chance below 1 in 10^12.
        #expect(seconds.count == 7)
    }
}
