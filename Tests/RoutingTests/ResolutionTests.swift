import SMTPCore
import Settings
import Tables
import Testing

@testable import Routing

/// Where addresses lead. Everything marked with a transport was seen in the log of Postfix 3.7.11 under the same configuration, with
/// discard(8) behind every transport, which logs its next hop.
struct ResolutionTests {
    static let domains = [
        "myhostname": "mx.test.example", "mydestination": "mx.test.example, local.example", "relay_domains": "relay.example",
        "virtual_mailbox_domains": "vmail.example", "virtual_alias_domains": "valias.example", "append_dot_mydomain": "no",
    ]

    static func router(_ settings: [String: String] = [:]) throws -> AddressRouter {
        let settings = ServiceSettings.testing(domains.merging(settings) { $1 })
        return try AddressRouter(settings: settings, tables: TableRegistry(), ownAddresses: [.v4(0x7F00_0001)])
    }

    static func address(_ text: String) -> Address {
        guard let at = text.lastIndex(of: "@") else { return Address(localPart: text, domain: nil) }
        return Address(localPart: String(text[..<at]), domain: String(text[text.index(after: at)...]))
    }

    func expect(_ router: AddressRouter, _ text: String, _ recipient: String, _ transport: String, _ hop: String, sender: String? = nil)
        async
    {
        let resolution = await router.resolve(Self.address(text), sender: sender.map(Self.address))
        #expect(resolution.outcome == .resolved, "\(text)")
        #expect(resolution.recipient.internalForm == recipient, "\(text)")
        #expect(resolution.transport == transport, "\(text)")
        #expect(resolution.nextHop == hop, "\(text)")
    }

    @Test(arguments: [
        ("u@local.example", "u@local.example", "local", "mx.test.example"),
        ("u", "u@mx.test.example", "local", "mx.test.example"),
        ("u@LOCAL.example.", "u@LOCAL.example", "local", "mx.test.example"),
        ("u@[127.0.0.1]", "u@[127.0.0.1]", "local", "mx.test.example"),
        ("@local.example", "MAILER-DAEMON@local.example", "local", "mx.test.example"),
        ("", "MAILER-DAEMON@mx.test.example", "local", "mx.test.example"),
        ("u@host", "u@host", "smtp", "host"),
        ("u%x.example@local.example", "u@x.example", "smtp", "x.example"),
        ("u%y.example%x.example@local.example", "u%y.example@x.example", "smtp", "x.example"),
        ("u%local.example@local.example", "u@local.example", "local", "mx.test.example"),
        ("u@x.example@local.example", "u@x.example", "smtp", "x.example"),
        ("x.example!u", "u@x.example", "smtp", "x.example"),
        ("a%b%c", "a%b@c", "smtp", "c"),
        ("u@sub.relay.example", "u@sub.relay.example", "relay", "sub.relay.example"),
        ("u@[192.0.2.1]", "u@[192.0.2.1]", "smtp", "[192.0.2.1]"),
        ("u@foreign.example.", "u@foreign.example", "smtp", "foreign.example"),
        ("a b@foreign.example", "a b@foreign.example", "smtp", "foreign.example"),
        ("u@FOREIGN.example", "u@FOREIGN.example", "smtp", "foreign.example"),
        ("u@vmail.example", "u@vmail.example", "virtual", "vmail.example"),
        ("u@valias.example", "u@valias.example", "error", "5.1.1 User unknown in virtual alias table"),
    ])
    func plain(_ text: String, _ recipient: String, _ transport: String, _ hop: String) async throws {
        await expect(try Self.router(), text, recipient, transport, hop)
    }

    @Test(arguments: [
        ("u@local.example", "u@local.example", "local", "mx.test.example"),
        ("u@relay.example", "u@relay.example", "relay", "[smart.example]:587"),
        ("u", "u@origin.example", "smtp", "[smart.example]:587"),
        ("u@host", "u@host.test.example", "smtp", "[smart.example]:587"),
        ("u@[192.0.2.1]", "u@[192.0.2.1]", "smtp", "[smart.example]:587"),
        ("u@vmail.example", "u@vmail.example", "virtual", "vmail.example"),
    ])
    func relayHost(_ text: String, _ recipient: String, _ transport: String, _ hop: String) async throws {
        let settings = ["relayhost": "[smart.example]:587", "append_dot_mydomain": "yes", "myorigin": "origin.example"]
        await expect(try Self.router(settings), text, recipient, transport, hop)
    }

    @Test(arguments: [
        ("u+x@a.example", "slow", "ext"), ("u+y@a.example", "slow", "user"), ("u@a.example", "slow", "user"),
        ("v@a.example", "slow", "dom"),
        ("v@s.a.example", "slow", "star"), ("v@s.b.example", "slow", "sub"), ("v@t.s.b.example", "slow", "sub"),
        ("v@b.example", "smtp", "hop"),
        ("v@n.example", "smtp", "[smart.example]"), ("v@t.example", "slow", "t.example"), ("v@e.example", "error", "5.1.9 no such place"),
        ("v@r.example", "retry", "4.4.9 later"), ("v@local.example", "slow", "local.example"), ("v@vmail.example", "virtual", "[h]"),
        ("v@relay.example", "smtp", "[z]:26"), ("v@other.example", "slow", "star"), ("v@[192.0.2.1]", "slow", "star"),
        ("v@valias.example", "error", "5.1.1 User unknown in virtual alias table"),
    ])
    func transportMaps(_ text: String, _ transport: String, _ hop: String) async throws {
        let table =
            "inline:{{u+x@a.example=slow:ext},{u@a.example=slow:user},{a.example=slow:dom},{.b.example=slow:sub},{b.example=:hop},"
            + "{n.example=:},{t.example=slow:},{e.example=error:5.1.9 no such place},{r.example=retry:4.4.9 later},"
            + "{local.example=slow:},{vmail.example=:[h]},{relay.example=smtp:[z]:26},{*=slow:star}}"
        let settings = ["relayhost": "[smart.example]", "recipient_delimiter": "+", "transport_maps": table]
        await expect(try Self.router(settings), text, text, transport, hop)
    }

    @Test func subdomainsInTransportMaps() async throws {
        let router = try Self.router([
            "parent_domain_matches_subdomains": "transport_maps", "transport_maps": "inline:{a.example=slow:dom}",
        ])
        await expect(router, "u@s.a.example", "u@s.a.example", "slow", "dom")
        await expect(router, "u@s.relay.example", "u@s.relay.example", "smtp", "s.relay.example")
    }

    @Test func senderDependent() async throws {
        let router = try Self.router([
            "relayhost": "[smart.example]",
            "sender_dependent_relayhost_maps": "inline:{{s@sender.example=[own]:465}, {@dom.example=[dom]}, {@d.example=DUNNO}}",
            "sender_dependent_default_transport_maps": "inline:{{@sender.example=slow:}}",
        ])
        await expect(router, "u@foreign.example", "u@foreign.example", "slow", "[own]:465", sender: "s@sender.example")
        await expect(router, "u@relay.example", "u@relay.example", "relay", "[own]:465", sender: "s@sender.example")
        await expect(router, "u@local.example", "u@local.example", "local", "mx.test.example", sender: "s@sender.example")
        await expect(router, "u@foreign.example", "u@foreign.example", "smtp", "[dom]", sender: "x@dom.example")
        await expect(router, "u@foreign.example", "u@foreign.example", "smtp", "[smart.example]", sender: "x@d.example")
        await expect(router, "u@foreign.example", "u@foreign.example", "smtp", "[smart.example]", sender: "")
        await expect(router, "u@foreign.example", "u@foreign.example", "smtp", "[smart.example]")
    }

    @Test func nextHopsOfTransports() async throws {
        let router = try Self.router([
            "local_transport": "lmtp:unix:private/x", "virtual_transport": "lmtp:[h]:24", "relay_transport": "relay:[r]",
            "default_transport": "smtp:[d]:25", "relayhost": "[smart]",
        ])
        await expect(router, "u@local.example", "u@local.example", "lmtp", "unix:private/x")
        await expect(router, "u@vmail.example", "u@vmail.example", "lmtp", "[h]:24")
        await expect(router, "u@relay.example", "u@relay.example", "relay", "[r]")
        await expect(router, "u@foreign.example", "u@foreign.example", "smtp", "[d]:25")
        let bare = try Self.router(["local_transport": "smtp:", "virtual_transport": "lmtp", "relay_transport": "relay"])
        await expect(bare, "u@local.example", "u@local.example", "smtp", "local.example")
        await expect(bare, "u@vmail.example", "u@vmail.example", "lmtp", "vmail.example")
        await expect(bare, "u@relay.example", "u@relay.example", "relay", "relay.example")
    }

    @Test func numericDomains() async throws {
        let router = try Self.router(["resolve_numeric_domain": "yes"])
        await expect(router, "u@127.0.0.1", "u@[127.0.0.1]", "local", "mx.test.example")
        await expect(router, "u@127.0.0.1.", "u@[127.0.0.1]", "local", "mx.test.example")
        await expect(router, "u@192.0.2.1", "u@[192.0.2.1]", "smtp", "[192.0.2.1]")
        #expect(try await Self.router().resolve(Self.address("u@127.0.0.1")).outcome == .illegal)
    }

    @Test(arguments: [
        ("u@host.", "u@host", "host"), ("u@host", "u@host.test.example", "host.test.example"), ("a%b.", "a@b", "b"),
        ("u@a.b.", "u@a.b", "a.b"),
    ])
    func trailingDots(_ text: String, _ recipient: String, _ hop: String) async throws {
        let router = try Self.router(["append_dot_mydomain": "yes"])
        await expect(router, text, recipient, "smtp", hop)
        await expect(router, router.rewrite(Self.address(text)).internalForm, recipient, "smtp", hop)
    }

    /// Bytes count, not characters: with a combining mark behind it a `!` is no `!` to a Swift string, but it is to the next host.
    @Test func combiningMarksHideNothing() async throws {
        let settings = ["recipient_delimiter": "+", "transport_maps": "inline:{{u@a.example=slow:user}}"]
        let router = try Self.router(settings)
        func address(_ localPart: String) -> Address { Address(localPart: localPart, domain: "local.example") }
        #expect(await router.resolve(address("x.example!\u{301}u")).recipient == Address(localPart: "\u{301}u", domain: "x.example"))
        #expect(await router.resolve(address("\u{301}u@\u{301}x.example")).transport != "local")
        #expect(await router.resolve(address("u%\u{301}x.example")).transport != "local")
        #expect(await router.resolve(Address(localPart: "u+\u{301}x", domain: "a.example")).transport == "slow")
    }

    @Test func relocated() async throws {
        let router = try Self.router(["relocated_maps": "inline:{{old=new@x.example}, {gone@foreign.example=elsewhere}}"])
        await expect(router, "old@local.example", "old@local.example", "error", "5.1.6 User has moved to new@x.example")
        await expect(router, "gone@foreign.example", "gone@foreign.example", "error", "5.1.6 User has moved to elsewhere")
        await expect(router, "old@foreign.example", "old@foreign.example", "smtp", "foreign.example")
    }

    @Test(arguments: [
        "a@[bad]", "a@[bad", "a@b..c", "a@.b", "a@b..", "a@", "a@-b.example", "a@[2001:db8::1]", "a@123", "a@123.45", "a@1.2.3.4",
        "a@b c.example",
    ])
    func illegal(_ text: String) async throws {
        #expect(try await Self.router().resolve(Self.address(text)).outcome == .illegal)
    }

    @Test(arguments: [
        ("u%x.example@relay.example", true), ("x!u@relay.example", true), ("a@b@relay.example", true), ("u%x@foreign.example", true),
        ("u@relay.example", false), ("u%relay.example@local.example", false), ("u%x@local.example", false),
    ])
    func senderSpecifiedRouting(_ text: String, _ expected: Bool) async throws {
        #expect(try await Self.router().resolve(Self.address(text)).hasSenderSpecifiedRouting == expected)
    }

    @Test(arguments: ["u%x.example@relay.example", "x!u@relay.example", "u%x.example@local.example", "x!u@local.example"])
    func routingIsSeenWhereItIsNotFollowed(_ text: String) async throws {
        let router = try Self.router(["swap_bangpath": "no", "allow_percent_hack": "no"])
        #expect(await router.resolve(Self.address(text)).hasSenderSpecifiedRouting)
    }

    @Test(arguments: ["mydestination", "relay_domains", "virtual_mailbox_domains", "transport_maps", "relocated_maps"])
    func failingTables(_ parameter: String) async throws {
        let router = try Self.router([parameter: "fail:x"])
        guard case .failed = await router.resolve(Self.address("u@foreign.example")).outcome else {
            Issue.record("a failing table must not count as \"not found\"")
            return
        }
    }

    @Test func deepRouting() async throws {
        let text = String(repeating: "%local.example", count: 500)
        #expect(try await Self.router().resolve(Address(localPart: "u" + text, domain: "local.example")).outcome == .illegal)
    }

    @Test func rewritingTwiceChangesNothing() throws {
        let router = try Self.router(["append_dot_mydomain": "yes", "myorigin": "origin"])
        for text in ["u", "a!b", "a%b", "a@b", "a@b.", "a@b.c.", "a%b@c.d", "", "@", "a!b!c"] {
            let once = router.rewrite(Self.address(text))
            #expect(router.rewrite(once) == once, "\(text)")
        }
    }
}
