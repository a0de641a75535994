package import PosternTesting
import SMTPCore
import Spool

/// One schedule: several lives of a spool on one simulated disk, each ended by a stop of the machine, of the process, or in order; beside it
/// a ``SpoolModel``. The same seed gives the same schedule.
package final class SpoolSchedule: @unchecked Sendable {
    /// What the machine may do to the spool.
    package enum Faults: Sendable, Hashable {
        /// Everything, at random places.
        case random
        /// Nothing, but in the first life the machine stops during the step with this number; nil: not at all.
        case stop(atStep: Int?)
    }

    package let seed: UInt64
    let faults: Faults
    var random: SeededRandom
    package let disk: SimulatedDisk
    let clock = SimulatedDiskClock()
    var options = SpoolOptions()
    var model = SpoolModel()
    /// Prints each step.
    package var isTraced = false
    package internal(set) var tally = Tally()
    /// Steps that the first life made.
    package private(set) var stepsOfFirstLife = 0

    /// The administrator has put something on hold: a clean end forgets that it may have been in delivery.
    var hasHeld = false

    // Of the present life.
    var jobs: [DeliveryJob] = []
    var events = RecordingObserver()
    /// The spool has said that it cannot write at all, so its refusals need not be durable.
    var hasStopped = false
    var failuresBefore = 0
    /// A fault may have hit a read, so that something is missing for this life only.
    var hasReadFaults = false
    var clockWasSet = false
    var newestTime = 0.0
    /// Found in a callback, which cannot throw.
    var broken: BrokenPromise?

    package init(seed: UInt64, faults: Faults = .random, lies: SimulatedDisk.Lies = []) {
        self.seed = seed
        self.faults = faults
        random = SeededRandom(seed: seed)
        disk = SimulatedDisk(seed: seed ^ 0xABCD)
        options.isManual = true
        options.segmentSize = Int.random(in: 4_096...12_000, using: &random)
        options.inlineLimit = 5_000
        options.queueRunDelay = 5
        options.minimalBackoff = 5
        options.maximalBackoff = 20
        options.maximalQueueLifetime = 60
        options.bounceQueueLifetime = 60
        options.queueIDLease = 4
        options.recoveryDelay = 1
        options.reserveSize = chance(3) ? 8_192 : 0
        options.queueMinFree = chance(4) ? 20_000 : 0
        options.memoryLimit = chance(2) ? 0 : 1 << 20
        options.messageActiveLimit = chance(3) ? 2 : 100
        disk.lies = lies
    }

    func trace(_ text: @autoclosure () -> String) {
        if isTraced { print("\(disk.steps), \(Int(clock.wallTime()) - 1_795_000_000) s: \(text())") }
    }

    func chance(_ n: Int) -> Bool { Int.random(in: 0..<n, using: &random) == 0 }

    /// nil if every promise was kept.
    package func run() -> String? {
        do {
            let lives = faults == .random ? Int.random(in: 2...5, using: &random) : 1
            for number in 0..<lives {
                try live()
                if number == 0 { stepsOfFirstLife = disk.steps }
                end()
            }
            try drain()
            return nil
        } catch {
            return "\(error)"
        }
    }

    private func live() throws {
        prepareFaults()
        guard let spool = try open() else { return }
        // Looking at the queue makes steps as well; what is seen after the last one proves nothing.
        do { try check(spool) } catch { if !disk.isStopped { throw error } }
        if !chance(6) { start(spool) }
        for _ in 0..<Int.random(in: 5...40, using: &random) where !disk.isStopped {
            try act(spool)
            try note(spool)
        }
        if chance(4), !disk.isStopped { spool.close() }
        try note(spool)
    }

    private func prepareFaults() {
        failuresBefore = disk.failures
        hasReadFaults = false
        switch faults {
        case .stop(let step):
            disk.stop(afterSteps: step)
        case .random:
            if chance(6) { disk.failFlush(after: Int.random(in: 0...12, using: &random)) }
            if chance(6) { disk.failWrite(after: Int.random(in: 0...12, using: &random)) }
            if chance(6) {
                disk.failOther(after: Int.random(in: 0...60, using: &random))
                hasReadFaults = true
            }
            disk.stop(afterSteps: chance(4) ? nil : Int.random(in: 0...160, using: &random))
        }
    }

    /// nil if a fault of the disk was in the way: nothing is lost by not starting.
    func open() throws -> Spool? {
        events = RecordingObserver()
        hasStopped = false
        clockWasSet = false
        jobs = []
        do throws(SpoolError) {
            let spool = try Spool.open(directory: "/q", options: options, fileSystem: disk, clock: clock, observer: events)
            tally.starts += 1
            return spool
        } catch {
            guard case .fileSystem = error, disk.isStopped || disk.failures > failuresBefore else { throw error }
            trace("open failed: \(error)")
            return nil
        }
    }

    func start(_ spool: Spool) { spool.start(agent: RecordingAgent { [self] job in activated(job) }) }

    private func end() {
        trace("end; stopped \(disk.isStopped)")
        if disk.isStopped { tally.stops += 1 }
        tally.failures += disk.failures - failuresBefore
        if chance(3) { disk.processCrash() } else { disk.powerCut() }
        model.ended()
        guard faults == .random, chance(5) else { return }
        clock.step(Double(Int.random(in: -100_000...100_000, using: &random)))
        tally.clockSteps += 1
    }

    /// The last life: no faults, everything must be as promised, everything can be delivered, and nothing stays behind.
    private func drain() throws {
        disk.capacity = 1 << 30
        failuresBefore = disk.failures
        hasReadFaults = false
        guard let spool = try open() else { throw BrokenPromise("it does not start on a sound disk") }
        try check(spool)
        start(spool)
        for id in model.unfinished { model.asked(.release, id) }
        _ = try spool.perform(.release, on: .all)
        for _ in 0..<200 {
            while let job = jobs.popLast() {
                model.reported(job.id, left: [], notices: [], tellsOfDelay: false)
                spool.record(DeliveryReport(id: job.id, outcomes: job.envelope.recipients.map { _ in .delivered }))
            }
            spool.turn()
            try note(spool)
            if try jobs.isEmpty && spool.list(limit: 1).isEmpty { break }
            clock.advance(20)
        }
        guard try spool.list().isEmpty else { throw BrokenPromise("not everything can be delivered: \(try spool.list().map(\.id))") }
        let files = disk.names(in: "/q/content")
        guard files.isEmpty else { throw BrokenPromise("content files are left behind: \(files)") }
        tally.count(segments: disk.names(in: "/q/journal"))
        tally.messages += model.ids.count
        spool.close()
    }
}

/// What schedules have come across, so that a change that makes them miss something is seen.
package struct Tally: Sendable {
    package var schedules = 0
    package var messages = 0
    package var starts = 0
    package var stops = 0
    package var failures = 0
    package var clockSteps = 0
    /// Reports that a message waits.
    package var delaysTold = 0
    package var segmentsBegun = 0
    package var segmentsRemoved = 0

    package init() {}

    mutating func count(segments names: [String]) {
        let numbers = names.filter { $0.hasSuffix(".log") }.compactMap { Int($0.dropLast(4)) }
        segmentsBegun += numbers.max() ?? 0
        segmentsRemoved += (numbers.max() ?? 0) - numbers.count
    }

    package static func + (a: Self, b: Self) -> Self {
        var sum = a
        sum.schedules += b.schedules
        sum.messages += b.messages
        sum.starts += b.starts
        sum.stops += b.stops
        sum.failures += b.failures
        sum.clockSteps += b.clockSteps
        sum.delaysTold += b.delaysTold
        sum.segmentsBegun += b.segmentsBegun
        sum.segmentsRemoved += b.segmentsRemoved
        return sum
    }
}
