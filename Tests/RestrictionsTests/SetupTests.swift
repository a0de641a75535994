import PosternTesting
import Routing
import Settings
import Tables
import Testing

@testable import Restrictions

/// What stops the start, and what is said about it.
struct SetupTests {
    static func diagnostics(_ values: [String: String]) -> [Diagnostic] {
        let settings = ServiceSettings.testing(values)
        let tables = TableRegistry()
        do {
            let router = try AddressRouter(settings: settings, tables: tables, ownAddresses: [])
            return try RestrictionEvaluator(settings: settings, tables: tables, router: router, names: ScriptedNameService()).warnings
        } catch { return error.diagnostics }
    }

    static let base = ["alias_maps": "", "smtpd_relay_restrictions": "reject_unauth_destination"]

    static func errors(_ values: [String: String]) -> [String] {
        diagnostics(base.merging(values) { $1 }).filter { $0.severity == .error }.map(\.message)
    }

    @Test(arguments: [
        ("nonsense", "unknown smtpd restriction: \"nonsense\""),
        ("reject_rbl_client zen.example", "restriction reject_rbl_client is not implemented yet"),
        ("reject_rbl zen.example", "restriction reject_rbl is not implemented yet"),
        ("check_policy_service unix:private/policy", "restriction check_policy_service is not implemented yet"),
        ("check_policy_service { inet:127.0.0.1:1, timeout=1s }", "restriction check_policy_service is not implemented yet"),
        ("reject_unverified_recipient", "restriction reject_unverified_recipient is not implemented yet"),
        ("permit_tls_clientcerts", "restriction permit_tls_clientcerts is not implemented yet"),
        ("check_sender_mx_access cidr:/x", "restriction check_sender_mx_access is not implemented yet"),
        ("check_client_access", "restriction check_client_access requires a lookup table"),
        ("check_client_access permit", "\"permit\" is not a lookup table, expecting type:name"),
        ("sleep", "restriction sleep requires a number of seconds"),
        ("sleep x", "restriction sleep: \"x\" is not a number of seconds up to 3600"),
        ("sleep 99999999999999999999", "restriction sleep: \"99999999999999999999\" is not a number of seconds up to 3600"),
        ("check_sender_access nonsense:x", "unsupported dictionary type: nonsense"),
    ])
    func refused(_ list: String, _ message: String) {
        #expect(Self.errors(["smtpd_recipient_restrictions": list]) == [message])
    }

    @Test func everyProblemInOneRun() {
        let found = Self.errors([
            "smtpd_client_restrictions": "nonsense", "smtpd_helo_restrictions": "reject_rhsbl_helo x",
            "smtpd_data_restrictions": "static:x",
            "smtpd_restriction_classes": "missing", "mynetworks": "10.0.0.1/8", "smtpd_relay_restrictions": "permit",
        ])
        #expect(found.count == 6, "\(found)")
        #expect(found.contains("restriction class `missing' needs a definition"))
        #expect(found.contains("lookup table static:x needs a check_*_access before it in smtpd_data_restrictions"))
        #expect(found.contains(RelaySafeguard.message))
    }

    @Test(arguments: [
        ("permit_mynetworks", "", true), ("", "", true), ("permit_mynetworks, permit, reject", "", true),
        ("warn_if_reject reject_unauth_destination", "", true), ("strict", "", false), ("warn_if_reject strict", "", true),
        ("lax", "", true),
        ("reject_unauth_destination", "", false), ("defer_unauth_destination", "", false), ("", "reject", false), ("", "defer", false),
        ("permit_mynetworks", "defer_if_permit", false), ("permit_mynetworks, Reject_Unauth_Destination", "", false),
        ("reject_plaintext_session", "", true), ("loop", "", true),
    ])
    func relaySafeguard(_ relay: String, _ recipient: String, _ isUnsafe: Bool) {
        let found = Self.errors([
            "smtpd_relay_restrictions": relay, "smtpd_recipient_restrictions": recipient, "smtpd_restriction_classes": "strict, lax, loop",
            "strict": "permit_mynetworks, reject", "lax": "permit", "loop": "loop",
        ])
        #expect(found == (isUnsafe ? [RelaySafeguard.message] : []))
    }

    @Test func whatFollowsPermitIsIgnored() {
        let found = Self.diagnostics(Self.base.merging(["smtpd_client_restrictions": "permit_mynetworks, permit, reject"]) { $1 })
        #expect(found.map(\.message) == ["restriction `reject' after `permit' is ignored"])
        #expect(found.map(\.severity) == [.warning])
    }

    /// Tables of valid addresses are opened only where a service asks them.
    @Test func tablesOfValidAddresses() {
        let broken = ["local_recipient_maps": "nonsense:x"]
        #expect(Self.errors(broken) == ["unsupported dictionary type: nonsense"])
        #expect(Self.errors(broken.merging(["smtpd_reject_unlisted_recipient": "no"]) { $1 }) == [])
        #expect(Self.errors(broken.merging(["receive_override_options": "no_unknown_recipient_checks"]) { $1 }) == [])
        let asked = ["smtpd_reject_unlisted_recipient": "no", "smtpd_sender_restrictions": "reject_unlisted_sender"]
        #expect(Self.errors(broken.merging(asked) { $1 }) == ["unsupported dictionary type: nonsense"])
    }
}
