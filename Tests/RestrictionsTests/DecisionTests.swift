import PosternTesting
import Resolver
import Routing
import SMTPCore
import Settings
import Tables
import Testing

@testable import Restrictions

/// What a decision carries beside the reply: trace, log lines, actions.
struct DecisionTests {
    static func player(_ settings: [String: String], names: ScriptedNameService = ScriptedNameService()) throws -> CasePlayer {
        let base = [
            "alias_maps": "", "mydestination": "local.example", "local_recipient_maps": "", "mynetworks": "10.0.0.0/8",
            "smtpd_relay_restrictions": "reject_unauth_destination",
        ]
        return try CasePlayer(base.merging(settings) { $1 }, names: names)
    }

    @Test func trace() async throws {
        var player = try Self.player([
            "smtpd_sender_restrictions":
                "check_client_access static:DUNNO, warn_if_reject reject_non_fqdn_sender, check_sender_access inline:{{s.example=DUNNO}}",
            "smtpd_recipient_restrictions": "check_recipient_access inline:{{a@local.example=450 later}}",
        ])
        let answer = try await player.play([("from", "u@sub.s.example"), ("to", "a@local.example")])
        #expect(answer == "450 4.7.1 <a@local.example>: Recipient address rejected: later")
        let trace = try #require(player.decisions.last).trace.map { step in
            var step = step
            step.duration = .zero
            return step
        }
        let reply = Reply(450, EnhancedStatusCode(4, 7, 1), "<a@local.example>: Recipient address rejected: later")
        #expect(
            trace == [
                TraceStep(
                    list: "smtpd_sender_restrictions",
                    index: 0,
                    restriction: "check_client_access static:DUNNO",
                    table: "static:DUNNO",
                    key: "unknown",
                    value: "DUNNO",
                    result: .dunno
                ),
                TraceStep(list: "smtpd_sender_restrictions", index: 2, restriction: "reject_non_fqdn_sender", result: .dunno),
                TraceStep(
                    list: "smtpd_sender_restrictions",
                    index: 3,
                    restriction: "check_sender_access inline:{{s.example=DUNNO}}",
                    table: "inline:{{s.example=DUNNO}}",
                    key: "s.example",
                    value: "DUNNO",
                    result: .dunno
                ),
                TraceStep(list: "smtpd_relay_restrictions", index: 0, restriction: "reject_unauth_destination", result: .dunno),
                TraceStep(
                    list: "smtpd_recipient_restrictions",
                    index: 0,
                    restriction: "check_recipient_access inline:{{a@local.example=450 later}}",
                    table: "inline:{{a@local.example=450 later}}",
                    key: "a@local.example",
                    value: "450 later",
                    result: .reject(reply)
                ),
            ]
        )
    }

    @Test(arguments: [
        ("INFO some text", Decision.Notice?(.init(verb: "info", text: "some text")), [MessageAction]()),
        ("WARN some text", Decision.Notice(verb: "warn", text: "some text"), []),
        ("PREPEND X-Spam: yes", nil, [.prepend("X-Spam: yes")]),
        ("HOLD", Decision.Notice(verb: "hold", text: "<s@sender.example>: Sender address triggers HOLD action"), [.hold]),
        ("HOLD look at it", Decision.Notice(verb: "hold", text: "<s@sender.example>: Sender address look at it"), [.hold]),
        ("DISCARD", Decision.Notice(verb: "discard", text: "<s@sender.example>: Sender address triggers DISCARD action"), [.discard]),
        ("DISCARD it", Decision.Notice(verb: "discard", text: "<s@sender.example>: Sender address it"), [.discard]),
        (
            "FILTER scan:[127.0.0.1]:10025",
            Decision.Notice(verb: "filter", text: "<s@sender.example>: Sender address triggers FILTER scan:[127.0.0.1]:10025"),
            [.filter(ContentFilter(transport: "scan", nextHop: "[127.0.0.1]:10025"))]
        ),
        (
            "filter scan:", Decision.Notice(verb: "filter", text: "<s@sender.example>: Sender address triggers FILTER scan:"),
            [
                .filter(ContentFilter(transport: "scan", nextHop: ""))
            ]
        ),
        (
            "FILTER",
            Decision.Notice(
                verb: "warning",
                text: "access table static:{FILTER} entry \"s@sender.example\" has FILTER entry without value"
            ), []
        ),
        (
            "FILTER scan",
            Decision.Notice(
                verb: "warning",
                text: "access table static:{FILTER scan} entry \"s@sender.example\" requires transport:destination"
            ), []
        ),
        (
            "REDIRECT a@b.example",
            Decision.Notice(verb: "redirect", text: "<s@sender.example>: Sender address triggers REDIRECT a@b.example"),
            [
                .redirect(Address(localPart: "a", domain: "b.example"))
            ]
        ),
        (
            "REDIRECT a",
            Decision.Notice(
                verb: "warning",
                text: "access table static:{REDIRECT a} entry \"s@sender.example\" requires user@domain target"
            ), []
        ),
        (
            "REDIRECT a@b, c@d",
            Decision.Notice(
                verb: "warning",
                text: "access table static:{REDIRECT a@b, c@d} entry \"s@sender.example\" requires user@domain target"
            ), []
        ),
        (
            "BCC a@b.example", Decision.Notice(verb: "bcc", text: "<s@sender.example>: Sender address triggers BCC a@b.example"),
            [
                .blindCopy(Address(localPart: "a", domain: "b.example"))
            ]
        ),
        (
            "BCC @b.example",
            Decision.Notice(
                verb: "warning",
                text: "access table static:{BCC @b.example} entry \"s@sender.example\" requires user@domain target"
            ), []
        ),
        (
            "PREPEND no header",
            Decision.Notice(
                verb: "warning",
                text: "access table static:{PREPEND no header}: PREPEND action requires header: text, not \"no header\""
            ),
            []
        ),
    ])
    func actions(_ value: String, _ notice: Decision.Notice?, _ actions: [MessageAction]) async throws {
        var player = try Self.player(["smtpd_sender_restrictions": "check_sender_access static:{\(value)}"])
        #expect(try await player.play([("to", "a@local.example")]) == "ok")
        let decision = try #require(player.decisions.last)
        #expect(decision.notices == (notice.map { [$0] } ?? []))
        #expect(decision.actions == actions)
    }

    @Test(arguments: [("HANGUP", ""), ("hangup and good bye", "and good bye")])
    func hangUp(_ value: String, _ text: String) async throws {
        var player = try Self.player(["smtpd_sender_restrictions": "warn_if_reject check_sender_access static:{\(value)}"])
        _ = try await player.play([("to", "a@local.example")])
        let decision = try #require(player.decisions.last)
        #expect(decision.hangsUp)
        #expect(decision.rejection != nil)
        #expect(decision.notices == [Decision.Notice(verb: "hangup", text: text)])
    }

    /// Those that Postfix does not have in access(5) are taken for restrictions.
    @Test(arguments: ["STRIP", "DELAY 1h"])
    func unknownActions(_ value: String) async throws {
        var player = try Self.player(["smtpd_sender_restrictions": "check_sender_access static:{\(value)}"])
        #expect(try await player.play([("to", "a@local.example")]) == "451 4.3.5 Server configuration error")
    }

    @Test func discardEndsTheListsOfAMessage() async throws {
        var player = try Self.player([
            "smtpd_client_restrictions": "check_client_access static:DISCARD", "smtpd_recipient_restrictions": "reject",
            "smtpd_relay_restrictions": "reject",
        ])
        #expect(try await player.play([("to", "u@foreign.example")]) == "ok")
        #expect(player.decisions.last?.trace.count == 1)
    }

    @Test(arguments: ["DISCARD", "HOLD", "FILTER a:b", "REDIRECT a@b.example", "BCC a@b.example", "PREPEND X: y"])
    func actionsNeedAMessage(_ action: String) async throws {
        var player = try Self.player([
            "smtpd_delay_reject": "no", "smtpd_client_restrictions": "check_client_access static:{\(action)}",
            "smtpd_recipient_restrictions": "check_recipient_access static:{450 no}",
        ])
        #expect(try await player.play([("to", "a@local.example")]) == "450 4.7.1 <a@local.example>: Recipient address rejected: no")
        #expect(player.decisions.first?.actions == [])
        let name = action.split(separator: " ")[0]
        #expect(
            player.decisions.first?.notices.map(\.text) == [
                "access table static:{\(action)}: with smtpd_delay_reject=no, action \(name) is always skipped in Client host or Helo command restrictions"
            ]
        )
    }

    @Test func warningsAreLogged() async throws {
        var player = try Self.player(["smtpd_client_restrictions": "warn_if_reject reject, warn_if_reject defer_if_permit"])
        #expect(try await player.play([("to", "a@local.example")]) == "ok")
        let expected = [
            Decision.Notice(verb: "reject_warning", text: "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied"),
            Decision.Notice(
                verb: "reject_warning",
                text: "450 4.7.0 <unknown[192.0.2.1]>: Client host rejected: defer_if_permit requested"
            ),
        ]
        #expect(player.decisions.last?.notices.map { [$0.verb, $0.text] } == expected.map { [$0.verb, $0.text] })
        #expect(player.decisions.last?.notices.map { $0.reply?.code } == [554, 450])
    }

    /// `loop = loop` brings Postfix down; here the recipient gets a 451.
    @Test func endlessClasses() async throws {
        var player = try Self.player([
            "smtpd_restriction_classes": "loop", "loop": "loop", "smtpd_recipient_restrictions": "loop",
        ])
        #expect(try await player.play([("to", "a@local.example")]) == "451 4.3.5 Server configuration error")
    }

    @Test(arguments: [
        (RestrictionStage.data, "smtpd_data_restrictions", "554 5.7.1 <DATA>: Data command rejected: Access denied"),
        (.endOfData, "smtpd_end_of_data_restrictions", "554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: Access denied"),
        (.etrn, "smtpd_etrn_restrictions", "554 5.7.1 <x.example>: Etrn command rejected: Access denied"),
    ])
    func otherStages(_ stage: RestrictionStage, _ list: String, _ answer: String) async throws {
        let player = try Self.player([list: "reject"])
        var facts = SessionFacts(clientAddress: .v4(1), peerName: .unknown)
        facts.etrnDomain = "x.example"
        #expect(await player.evaluator.evaluate(stage, facts).rejection?.logText == answer)
    }

    @Test func deferralsDoNotReachDATA() async throws {
        let player = try Self.player([:])
        var facts = SessionFacts(clientAddress: .v4(1), peerName: .unknown)
        facts.pendingDeferral = Reply(450, EnhancedStatusCode(4, 7, 0), "x")
        #expect(await player.evaluator.evaluate(.data, facts).rejection == nil)
    }

    @Test func repliesFitALine() async throws {
        let text = String(repeating: "x\u{7}é", count: 300)
        let reply = Replies.make(554, EnhancedStatusCode(4, 1, 8), text)
        #expect(reply.status == EnhancedStatusCode(5, 1, 8))
        #expect(reply.wire.utf8.count <= 512)
        #expect(reply.lines[0].hasPrefix("x éx é"))
        #expect(Replies.make(250, EnhancedStatusCode(2, 0, 0), "x") == Reply(450, EnhancedStatusCode(4, 7, 1), "Service unavailable"))
    }

    static let dns = ScriptedNameService(
        addresses: [
            "a.example": .found([.v4(1)]), "slow.example": .temporaryFailure("time-out"), "mx.example": .noData, "empty.example": .noData,
        ],
        mailExchangers: [
            "mx.example": .found([MailExchanger(preference: 1, host: "m.example")]), "a.example": .noData, "empty.example": .noData,
            "null.example": .found([MailExchanger(preference: 0, host: "")]), "slow.example": .temporaryFailure("time-out"),
        ]
    )

    @Test(arguments: [
        ("s@mx.example", "ok"), ("s@a.example", "ok"), ("", "ok"), ("s@[192.0.2.1]", "ok"), ("s@local.example", "ok"),
        ("s@none.example", "450 4.1.8 <s@none.example>: Sender address rejected: Domain not found"),
        ("s@empty.example", "450 4.1.8 <s@empty.example>: Sender address rejected: Domain not found"),
        ("s@slow.example", "450 4.1.8 <s@slow.example>: Sender address rejected: Domain not found"),
        ("s@null.example", "550 5.7.27 <s@null.example>: Sender address rejected: Domain null.example does not accept mail (nullMX)"),
    ])
    func unknownSenderDomain(_ sender: String, _ answer: String) async throws {
        var player = try Self.player(["smtpd_sender_restrictions": "reject_unknown_sender_domain"], names: Self.dns)
        #expect(try await player.play([("from", sender), ("to", "a@local.example")]) == answer)
    }

    @Test(arguments: [
        ("r@mx.example", "ok"),
        ("r@none.example", "450 4.1.2 <r@none.example>: Recipient address rejected: Domain not found"),
        ("r@null.example", "556 5.1.10 <r@null.example>: Recipient address rejected: Domain null.example does not accept mail (nullMX)"),
    ])
    func unknownRecipientDomain(_ recipient: String, _ answer: String) async throws {
        let settings = ["smtpd_relay_restrictions": "reject_unknown_recipient_domain, check_recipient_access static:OK, reject"]
        var player = try Self.player(settings, names: Self.dns)
        #expect(try await player.play([("to", recipient)]) == answer)
    }

    @Test(arguments: [
        ("a.example", "ok"), ("mx.example", "ok"), ("null.example", "ok"), ("[192.0.2.1]", "ok"),
        ("none.example", "450 4.7.1 <none.example>: Helo command rejected: Host not found"),
        ("slow.example", "450 4.7.1 <slow.example>: Helo command rejected: Host not found"),
        ("[192.0.2]", "501 5.5.2 <[192.0.2]>: Helo command rejected: invalid ip address"),
    ])
    func unknownHelo(_ helo: String, _ answer: String) async throws {
        var player = try Self.player(["smtpd_helo_restrictions": "reject_unknown_helo_hostname"], names: Self.dns)
        #expect(try await player.play([("helo", helo), ("to", "a@local.example")]) == answer)
    }

    /// A name server that does not answer defers what would be accepted; a rejection still rejects.
    @Test func temporaryFailureYieldsToRejection() async throws {
        let settings = ["smtpd_sender_restrictions": "reject_unknown_sender_domain"]
        var player = try Self.player(settings, names: Self.dns)
        let answer = try await player.play([("from", "s@slow.example"), ("to", "u@foreign.example")])
        #expect(answer == "554 5.7.1 <u@foreign.example>: Relay access denied")
        var strict = try Self.player(settings.merging(["unknown_address_tempfail_action": "defer"]) { $1 }, names: Self.dns)
        let deferred = try await strict.play([("from", "s@slow.example"), ("to", "u@foreign.example")])
        #expect(deferred == "450 4.1.8 <s@slow.example>: Sender address rejected: Domain not found")
    }

    @Test func resolverFailure() async throws {
        var player = try Self.player(["relay_domains": "fail:x"])
        #expect(try await player.play([("to", "u@foreign.example")]) == "451 4.3.0 <u@foreign.example>: Temporary lookup failure")
    }

    @Test func pipelining() async throws {
        let player = try Self.player(["smtpd_data_restrictions": "reject_unauth_pipelining"])
        var facts = SessionFacts(clientAddress: .v4(1), peerName: .unknown)
        #expect(await player.evaluator.evaluate(.data, facts).rejection == nil)
        facts.pipelinedImproperly = true
        let answer = await player.evaluator.evaluate(.data, facts).rejection?.logText
        #expect(answer == "503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining")
    }
}
