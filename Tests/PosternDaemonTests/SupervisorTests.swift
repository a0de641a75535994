import Foundation
import SMTPCore
import Testing

@testable import PosternDaemon

@Suite struct SupervisorTests {
    @Test func messagesOfHostileRolesAreNotTakenForOthers() {
        let separator = "\u{1F}"
        let bad = [
            "", "ready ", "ready\(separator)", "sessions", "sessions\(separator)-1", "sessions\(separator)99999999999999999999",
            "handoff\(separator)1024", "auth\(separator)x", "plan", "start\(separator)1", "confined",
        ]
        for text in bad { #expect(ControlMessage(text: text) == nil, "\(text)") }
    }

    @Test(arguments: [
        ControlMessage.listen(service: "smtp", address: "[::1]:25"), .unlisten(address: "127.0.0.1:25"), .handOff(loop: 3),
        .authentication(profile: 2), .ticketKeys(["00ff", "0a"]), .start, .retire, .counters, .stop, .ping, .reopenLog, .ready, .alive,
        .failed("main.cf:3: no"), .sessions(20_000), .confined("runs as x"), .plan(["watch", "/etc/a b"]),
        .plan(ServerPlan.end(passes: false)),
    ]) func messagesComeBackAsTheyWere(message: ControlMessage) { #expect(ControlMessage(text: message.text) == message) }

    private static var plan: ServerPlan {
        var plan = ServerPlan()
        plan.queueDirectory = "/var/spool/postern"
        plan.queueFingerprint = "abc"
        plan.endpoints = [.init(service: "smtp", address: .v4(0x7F00_0001), port: 25, location: "master.cf:3")]
        plan.workersPerProfile = [4, 4]
        plan.watched = ["/etc/postern/main.cf"]
        plan.directories = ["/etc/postern/", "/etc/ssl/"]
        plan.heartbeat = 10
        plan.findings = ["main.cf:4: warning: x"]
        return plan
    }

    @Test func aPlanComesBackFromItsItems() {
        var copy = ServerPlan()
        for record in Self.plan.records() {
            let isTaken = copy.take(record)
            #expect(isTaken, "\(record)")
        }
        #expect(copy == Self.plan)
    }

    @Test(arguments: [
        [], ["end"], ["end", "perhaps"], ["endpoint", "1.2.3.4"], ["endpoint", "1.2.3.4", "70000", "smtp", "x"], ["workers", "-1"],
        ["heartbeat", "-1"],
        ["workers", "99999"], ["certificate", "soon", "/c.pem"], ["watch"], ["else", "x"],
    ]) func recordsOfAHostilePlannerAreRefused(record: [String]) {
        var plan = ServerPlan()
        let isTaken = plan.take(record)
        #expect(!isTaken && plan == ServerPlan())
    }

    @Test func aPlanHasAnEnd() {
        var plan = ServerPlan()
        for number in 0..<(2 * ServerPlan.limit) { _ = plan.take(["watch", "/\(number)"]) }
        #expect(plan.watched.count == ServerPlan.limit)
    }

    @Test func aStateComesBackWholeOrNotAtAll() {
        var state = SupervisorState()
        state.program = "/usr/sbin/postern"
        state.queueDirectory = "/var/spool/postern"
        state.generation = 7
        state.log.file = "/var/log/mail.log"
        state.log.tag = "postfix/master"
        state.plan = Self.plan
        state.listeners = [ListenSocket(service: "smtp", address: .v4(0x7F00_0001), port: 25, adopting: 9)]
        state.roles = [
            ["smtpd", "7", "current", "99", "12", "1", "1", "runs as postfix", "5", "1000", "0"],
            ["auth:0:3", "7", "retired", "98", "13", "1", "0", "", "0", "1000", "2000"],
        ]
        #expect(state.roles.allSatisfy { RoleProcess(saved: $0)?.saved == $0 })
        state.keys = ["aa"]
        state.lock = 5
        state.requests = 6
        state.waiting = [14]
        let text = state.text
        #expect(SupervisorState(text: text) == state)
        for cut in stride(from: 0, to: text.count - 1, by: 7) { #expect(SupervisorState(text: String(text.prefix(cut))) == nil) }
        #expect(SupervisorState(text: text.replacing("postern-state 3", with: "postern-state 2")) == nil)
        #expect(SupervisorState(text: text.replacing("end\n", with: "color\tblue\nend\n")) != nil)
        for bad in ["smtpd\t7\tcurrent\t-99", "root\t7\tcurrent\t99", "smtpd\t7\told\t99", "smtpd\t7\tcurrent\t0"] {
            #expect(SupervisorState(text: text.replacing("smtpd\t7\tcurrent\t99", with: bad)) == nil, "\(bad)")
        }
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

    @Test func aSilentRoleIsFoundOnceAndLostLater() {
        var beat = Heartbeat()
        func findings(_ times: StrideTo<Double>) -> [Heartbeat.Finding?] { times.map { beat.look(at: $0, every: 10) } }
        #expect(findings(stride(from: 0, to: 30, by: 5)) == [.ask, nil, nil, nil, nil, nil])
        let wasSilent = beat.answered()
        #expect(!wasSilent && !beat.isSilent)
        // One question, however long it is not answered.
        let more = findings(stride(from: 30, to: 130, by: 10))
        #expect(more == [.ask, nil, nil, .silent, nil, nil, nil, nil, nil, .lost] && beat.isSilent)
        let isBack = beat.answered()
        #expect(isBack && !beat.isSilent && beat.look(at: 140, every: 10) == .ask)
    }

    @Test func aMachineThatStoodStillFindsNobodySilent() {
        var beat = Heartbeat()
        _ = beat.look(at: 0, every: 10)
        let afterAnHour = beat.look(at: 3600, every: 10)
        #expect(afterAnHour == nil && !beat.isSilent)
    }

    @Test func aRoleThatHasComeBackIsInNoCrashLoop() {
        let role = RoleProcess(.queue, generation: 0, standing: .current)
        for _ in 0..<3 { _ = role.restarts.pause(afterLifetime: 0) }
        #expect(role.isLooping(at: 100))
        role.pid = 1
        role.startedAt = 100
        #expect(role.isLooping(at: 105) && !role.isLooping(at: 100 + RestartPolicy.stableAfter))
    }

    @Test func aPathIsWatchedWhereverItsLinksAre() throws {
        let made = FileManager.default.temporaryDirectory.appendingPathComponent("postern-links-\(getpid())").path
        defer { try? FileManager.default.removeItem(atPath: made) }
        let root = made.hasPrefix("/") ? made : "/" + made
        for directory in ["etc", "tls/..1", "releases/7"] {
            try FileManager.default.createDirectory(atPath: "\(root)/\(directory)", withIntermediateDirectories: true)
        }
        try Data().write(to: URL(fileURLWithPath: "\(root)/tls/..1/cert.pem"))
        for (link, target) in [
            ("etc/cert.pem", "../tls/cert.pem"), ("tls/cert.pem", "..data/cert.pem"), ("tls/..data", "..1"), ("live", "\(root)/releases/7"),
            ("loop", "loop"),
        ] { try FileManager.default.createSymbolicLink(atPath: "\(root)/\(link)", withDestinationPath: target) }
        let chain = SymbolicLink.directories(on: "\(root)/etc/cert.pem")
        #expect(chain.isSuperset(of: ["\(root)/etc/", "\(root)/tls/", "\(root)/tls/..1/"]))
        #expect(!chain.contains("\(root)/releases/7/"))
        #expect(SymbolicLink.directories(on: "\(root)/live/./not-there").isSuperset(of: ["\(root)/", "\(root)/releases/7/"]))
        #expect(SymbolicLink.directories(on: "\(root)/loop").contains("\(root)/"))
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

    @Test func recordsOfOthersCannotBeForged() {
        let records = [["role", "a\nproblem\tno", "\u{1B}[2J\u{7F}é"], ["end", "x"]]
        #expect(Records.parse(Records.text(of: records)) == [["role", "a problem no", " [2J é"], ["end", "x"]])
        #expect(Records.parse("role\tx\n") == nil && Records.parse("end") == nil && Records.parse("") == nil)
    }

    private static let answer = Records.text(of: [
        ["server", "1.2", "7", "0", "3"], ["role", "smtpd", "2", "retired", "8", "1", "0", "0", "4", "runs as a"],
        ["role", "smtpd", "3", "current", "9", "1", "0", "0", "5", "runs as b", "1"],
        ["role", "queue", "0", "current", "0", "0", "2", "0", "0", ""],
        ["certificate", "951782400", "/c.pem"], ["watched", "/main.cf"], ["reload", "0", "SIGHUP", "0"], ["failure", "main.cf:3: no"],
        ["problem", "queue role is down"], ["role"], ["certificate"], ["new", "thing"],
    ])

    @Test func statusSaysAll() throws {
        let report = try #require(StatusReport(Self.answer, queue: "hold: 2\naccepting: no\ndamage: segment 3: checksum\n"))
        for line in [
            "generation 3: not responding, process 9, since 1970-01-01 00:00:00 UTC, 5 sessions, restarts 0", "generation 3: runs as b",
            "generation 2: retired, process 8, since 1970-01-01 00:00:00 UTC, 4 sessions, restarts 0", "queue: down, process 0, restarts 2",
            "certificate: /c.pem, expires 2000-02-29 00:00:00 UTC", "watched: /main.cf",
            "last reload: 1970-01-01 00:00:00 UTC, SIGHUP: failed",
            "problem: queue damage: segment 3: checksum", "problem: queue role is down", "problem: the queue accepts no new mail",
            "queue hold: 2",
        ] { #expect(report.text.contains(line + "\n"), "\(line)") }
        #expect(report.json.description.contains(#""damages":["segment 3: checksum"]"#))
        #expect(report.json.description.contains(#""confinement":"runs as b","responding":false"#))
        #expect(report.json.description.contains(#""confinement":"runs as a","responding":true"#))
        #expect(StatusReport(String(Self.answer.dropLast(2)), queue: nil) == nil)
        #expect(try #require(StatusReport(Self.answer, queue: nil)).problems.contains("the queue does not answer"))
    }
}
