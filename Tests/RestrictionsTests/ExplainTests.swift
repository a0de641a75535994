import PosternTesting
import Resolver
import Routing
import SMTPCore
import Settings
import Tables
import Testing

@testable import Restrictions

struct ExplainTests {
    static func report(_ values: [String: String], to: String, login: String? = nil) async throws -> ExplainReport {
        let base = [
            "alias_maps": "", "mydestination": "local.example", "local_recipient_maps": "inline:{alice=x}", "mynetworks": "10.0.0.0/8",
            "relayhost": "[smart.example]:587", "smtpd_sasl_auth_enable": "yes",
        ]
        let settings = ServiceSettings.testing(base.merging(values) { $1 })
        let tables = TableRegistry()
        let router = try AddressRouter(settings: settings, tables: tables, ownAddresses: [])
        let evaluator = try RestrictionEvaluator(settings: settings, tables: tables, router: router, names: ScriptedNameService())
        var facts = SessionFacts(clientAddress: .v4(0xC000_0201), peerName: .unknown)
        facts.heloName = "h.example"
        facts.sender = CaseFile.address("s@sender.example")
        facts.recipient = CaseFile.address(to)
        facts.saslUsername = login
        facts.saslMethod = login.map { _ in "PLAIN" }
        return await ExplainReport(service: "submission", settings: settings, facts: facts, evaluator: evaluator, router: router)
    }

    @Test func refused() async throws {
        let report = try await Self.report(
            [
                "smtpd_sender_restrictions": "check_sender_access inline:{{sender.example=DUNNO}}",
                "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
            ],
            to: "u@foreign.example"
        )
        #expect(report.rejection?.logText == "554 5.7.1 <u@foreign.example>: Relay access denied")
        #expect(
            report.text == """
                service    submission
                client     unknown[192.0.2.1]
                helo       h.example
                sender     <s@sender.example>
                recipient  <u@foreign.example>

                smtpd_sender_restrictions
                    1  check_sender_access inline:{{sender.example=DUNNO}}  no opinion
                          inline:{{sender.example=DUNNO}}: "sender.example" -> "DUNNO"

                smtpd_relay_restrictions
                    1  permit_mynetworks                                   no opinion
                    2  permit_sasl_authenticated                           no opinion
                =>  3  reject_unauth_destination                           reject: 554 5.7.1 <u@foreign.example>: Relay access denied

                answer     554 5.7.1 <u@foreign.example>: Relay access denied
                leads to   <u@foreign.example>, class default, transport smtp, next hop [smart.example]:587

                """
        )
    }

    @Test func accepted() async throws {
        let list = ["smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"]
        let report = try await Self.report(list, to: "u@foreign.example", login: "alice")
        #expect(report.rejection == nil)
        #expect(report.text.contains("=>  2  permit_sasl_authenticated                           permit, ends this list\n"))
        #expect(report.text.contains("\nanswer     250 2.1.5 Ok\n"))
    }

    @Test func unlisted() async throws {
        let report = try await Self.report(["smtpd_relay_restrictions": "reject_unauth_destination"], to: "bob@local.example")
        #expect(report.text.contains("\nsmtpd_reject_unlisted_recipient\n=>  1  "))
        #expect(report.text.contains("class local"))
    }

    @Test func decidedBeforeRCPT() async throws {
        let report = try await Self.report(
            ["smtpd_delay_reject": "no", "smtpd_helo_restrictions": "reject", "smtpd_relay_restrictions": "reject"],
            to: "alice@local.example"
        )
        #expect(report.text.contains("answer     554 5.7.1 <h.example>: Helo command rejected: Access denied  (at HELO)\n"))
    }

    @Test func decidedByADeferral() async throws {
        let report = try await Self.report(
            ["smtpd_helo_restrictions": "defer_if_permit", "smtpd_relay_restrictions": "reject_unauth_destination"],
            to: "alice@local.example"
        )
        #expect(report.text.contains("=>  1  defer_if_permit"))
    }
}
