import NIOCore
import PosternTesting
import SMTPCore
import Testing

@testable import Spool

/// Messages that come into being together with an outcome, and what the journal says of those whose delay has been told.
@Suite struct NoticeTests {
    /// A bounce, a report of the delay and a copy for the postmaster come into being together with an outcome that leaves someone; that the
    /// delay was told survives a power cut, a start from an index, and being copied forward.
    @Test func aDelayIsToldOnceWhateverHappens() throws {
        var bench = Bench()
        bench.options.segmentSize = 8_192
        let spool = try bench.open()
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let (id, _) = try bench.accept(spool)
        #expect(agent.take()?.isToldOfDelay == false)
        let notices = try (0..<3).map { _ in
            let notice = try spool.reserveQueueID()
            return GeneratedMessage(id: notice, envelope: envelope(from: "", to: ["s@example.com"]), content: content(notice, 900))
        }
        spool.record(DeliveryReport(id: id, outcomes: [.bounced("no"), .deferred("later")], bounces: notices, tellsOfDelay: true))
        spool.turn()
        #expect(Set(agent.jobs.map(\.id)) == Set(notices.map(\.id)))
        for job in agent.jobs { spool.record(DeliveryReport(id: job.id, outcomes: [.delivered])) }
        spool.turn()
        bench.disk.powerCut()

        let again = try bench.open()
        #expect(try again.list().map(\.isToldOfDelay) == [true])
        let second = RecordingAgent()
        again.start(agent: second)
        bench.clock.advance(400)
        again.turn()
        #expect(second.take()?.isToldOfDelay == true)
        // A later report that says nothing of it takes nothing back.
        again.record(DeliveryReport(id: id, outcomes: [.deferred("still later")]))
        again.turn()
        #expect(try again.list().map(\.attempts) == [2])
        // Mail that comes and goes until the segment that the message is in has gone.
        for _ in 0..<40 {
            let (other, _) = try bench.accept(again, size: 2_500)
            while let job = second.take() {
                again.record(DeliveryReport(id: job.id, outcomes: job.envelope.recipients.map { _ in .delivered }))
            }
            again.turn()
            #expect(other != id)
        }
        #expect(bench.disk.contents("/q/journal/00000001.log") == nil)
        bench.disk.powerCut()

        let last = try bench.open()
        #expect(try last.list().map(\.id) == [id] && last.list().map(\.isToldOfDelay) == [true])
        #expect(try QueueExport.header(last.export(id)).contains("X-Postern-Delay-Reported: yes\r\n"))
        let third = RecordingAgent()
        last.start(agent: third)
        bench.clock.advance(1_000)
        last.turn()
        let job = try #require(third.take())
        #expect(job.id == id && job.isToldOfDelay && job.attempts == 2)
        #expect(job.envelope.recipients.map(\.address.description) == ["b@example.org"])
    }
}
