import SMTPCore
import Testing

@testable import PosternDaemon

@Suite struct SupervisorTests {
    @Test func messagesOfHostileRolesAreNotTakenForOthers() {
        let separator = "\u{1F}"
        let bad = [
            "", "ready ", "ready\(separator)", "sessions", "sessions\(separator)-1", "sessions\(separator)99999999999999999999",
            "handoff\(separator)1024", "auth\(separator)x", "plan", "plan\(separator)end", "plan\(separator)endpoint\(separator)1.2.3.4",
            "plan\(separator)endpoint\(separator)1.2.3.4\(separator)70000\(separator)smtp\(separator)x", "start\(separator)1",
        ]
        for text in bad { #expect(ControlMessage(text: text) == nil, "\(text)") }
    }

    @Test(arguments: [
        ControlMessage.listen(service: "smtp", address: "[::1]:25"), .unlisten(address: "127.0.0.1:25"), .handOff(loop: 3),
        .authentication(profile: 2), .ticketKeys(["00ff", "0a"]), .start, .retire, .counters, .stop, .reopenLog, .ready,
        .failed("main.cf:3: no"), .sessions(20_000), .plan(.watch("/etc/a b")), .plan(.end(passes: false)), .plan(.workers(4)),
        .plan(.certificate(.init(file: "/c.pem", expires: 1_800_000_000))),
    ]) func messagesComeBackAsTheyWere(message: ControlMessage) { #expect(ControlMessage(text: message.text) == message) }

    private static var plan: ServerPlan {
        var plan = ServerPlan()
        plan.queueDirectory = "/var/spool/postern"
        plan.queueFingerprint = "abc"
        plan.endpoints = [.init(service: "smtp", address: .v4(0x7F00_0001), port: 25, location: "master.cf:3")]
        plan.workersPerProfile = [4, 4]
        plan.watched = ["/etc/postern/main.cf"]
        plan.findings = ["main.cf:4: warning: x"]
        return plan
    }

    @Test func aPlanComesBackFromItsItems() {
        var copy = ServerPlan()
        for item in Self.plan.items {
            guard let read = PlanItem(text: item.text) else {
                Issue.record("\(item)")
                continue
            }
            copy.add(read)
        }
        #expect(copy == Self.plan)
    }

    @Test func aPlanHasAnEnd() {
        var plan = ServerPlan()
        for number in 0..<(2 * ServerPlan.limit) { plan.add(.watch("/\(number)")) }
        #expect(plan.watched.count == ServerPlan.limit)
    }

    @Test func aStateComesBackWholeOrNotAtAll() {
        var state = SupervisorState()
        state.program = "/usr/sbin/postern"
        state.queueDirectory = "/var/spool/postern"
        state.generation = 7
        state.log.destination = "file /var/log/mail.log"
        state.log.tag = "postfix/master"
        state.plan = Self.plan.items
        state.listeners = [.init(endpoint: Self.plan.endpoints[0], descriptor: 9)]
        state.roles = [
            .init(argument: "smtpd", worker: 0, generation: 7, standing: "current", pid: 99, control: 12, isReady: true, deaths: 1)
        ]
        state.keys = ["aa"]
        state.lock = 5
        state.requests = 6
        state.waiting = [14]
        let text = state.text
        #expect(SupervisorState(text: text) == state)
        for cut in stride(from: 0, to: text.count - 1, by: 7) { #expect(SupervisorState(text: String(text.prefix(cut))) == nil) }
        #expect(SupervisorState(text: text.replacing("postern-state 1", with: "postern-state 2")) == nil)
        #expect(SupervisorState(text: text.replacing("end\n", with: "color\tblue\nend\n")) != nil)
    }

    @Test func aFloodEndsTheBudgetAndComplaintsEndSooner() {
        var budget = MessageBudget()
        let accepted = (0..<MessageBudget.messages + 50).filter { _ in budget.receive(at: 1) }.count
        #expect(accepted == MessageBudget.messages)
        let later = budget.receive(at: 1 + MessageBudget.window)
        #expect(later)
        let complaints = (0..<100).filter { _ in budget.mayComplain() }.count
        #expect(complaints == MessageBudget.complaints)
    }

    @Test func ticketKeysRotateAndTheOldOnesStillOpen() {
        var ring = TicketKeyRing()
        let rotations = [10.0, 11, 12].map { ring.rotate(now: $0) }
        #expect(rotations == [true, false, false])
        let first = ring.keys[0]
        for hour in 1...3 { _ = ring.rotate(now: 10 + Double(hour) * TicketKeyRing.lifetime) }
        #expect(ring.keys.count == 4 && ring.keys.last == first)
        _ = ring.rotate(now: 100 * TicketKeyRing.lifetime)
        #expect(!ring.keys.contains(first))
        #expect(ring.keys.allSatisfy { Hexadecimal.bytes($0)?.count == 80 })
    }

    @Test(arguments: ["0", "0g", "+1", "é0"]) func onlyPairsOfDigitsAreHexadecimal(text: String) { #expect(Hexadecimal.bytes(text) == nil) }

    @Test func jsonTextIsEscaped() { #expect(JSON.text("a\"b\\\n").description == #""a\"b\\\u000a""#) }

    @Test(arguments: [(0, "1970-01-01 00:00:00 UTC"), (1_795_243_714, "2026-11-21 06:48:34 UTC"), (951_782_400, "2000-02-29 00:00:00 UTC")])
    func timesAreUTC(seconds: Int, text: String) { #expect(UTCTime.text(seconds) == text) }
}
