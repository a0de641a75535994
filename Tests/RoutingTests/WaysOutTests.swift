import Settings
import Tables
import Testing

@testable import Routing

struct WaysOutTests {
    static let available: Set<String> = ["smtp", "relay", "lmtp", "error", "retry", "discard"]

    @Test(
        arguments: [
            ([:], ["local", "virtual mailbox"]),
            (["virtual_mailbox_domains": ""], ["local"]),
            (["mailbox_transport": "lmtp:unix:private/lmtp", "virtual_transport": "lmtp:unix:private/lmtp"], []),
            (["local_transport": "smtp:[127.0.0.1]:24", "virtual_transport": "error:no"], []),
            (["local_transport": "cyrus", "virtual_mailbox_domains": ""], ["local"]),
            (["fallback_transport": "uucp", "virtual_mailbox_domains": ""], ["local"]),
            (
                ["local_transport": "lmtp:x", "virtual_mailbox_domains": "", "default_transport": "uucp", "relay_transport": "ifmail"],
                ["relay", "default"]
            ),
            (["local_transport": "lmtp:x", "virtual_mailbox_domains": "", "relay_domains": "", "relay_transport": "ifmail"], []),
        ] as [([String: String], [String])]
    )
    func namesTheClass(_ settings: [String: String], _ classes: [String]) {
        let all = ServiceSettings.testing(ResolutionTests.domains.merging(settings) { $1 })
        let findings = WaysOut.missing(deliverable: Self.available, settings: all)
        #expect(findings.count == classes.count)
        for (finding, name) in zip(findings, classes) {
            #expect(finding.severity == .error)
            #expect(finding.message.hasPrefix("mail of the address class \(name) has no way out: "))
        }
    }

    @Test func mailboxTransportStandsInForLocalDelivery() async throws {
        let settings = ServiceSettings.testing([
            "mailbox_transport": "lmtp:unix:private/lmtp", "mailbox_transport_maps": "inline:{{bob=smtp:[b]}}", "recipient_delimiter": "+",
            "mydestination": "local.example",
        ])
        let router = try AddressRouter(settings: settings, tables: TableRegistry(), ownAddresses: [])
        let alice = await router.resolve(ResolutionTests.address("alice@local.example"))
        #expect((alice.transport, alice.nextHop) == ("lmtp", "unix:private/lmtp"))
        let bob = await router.resolve(ResolutionTests.address("bob+x@local.example"))
        #expect((bob.transport, bob.nextHop) == ("smtp", "[b]"))
        #expect(bob.addressClass == .local)
    }

    @Test func domainInTwoClassesIsAWarning() throws {
        let settings = ServiceSettings.testing([
            "mydestination": "a.example", "virtual_alias_domains": "A.example", "relay_domains": "b.example",
        ])
        let router = try AddressRouter(settings: settings, tables: TableRegistry(), ownAddresses: [])
        #expect(router.warnings.map(\.message) == ["do not list domain a.example in BOTH mydestination and virtual_alias_domains"])
    }

    @Test func allProblemsAtOnce() {
        let settings = ServiceSettings.testing([
            "mydestination": "nonsense:x", "relay_domains": "tcp:x:1", "transport_maps": "texthash:/nowhere/transport",
            "proxy_interfaces": "host",
        ])
        do {
            _ = try AddressRouter(settings: settings, tables: TableRegistry(), ownAddresses: [])
            Issue.record("no error")
        } catch { #expect(error.diagnostics.count == 4) }
    }
}
