import Dispatch
package import PosternTesting
import Synchronization

/// Many schedules, on several threads; each one runs on one thread from its beginning to its end.
package enum Schedules {
    /// A schedule that broke a promise, with what replays it.
    package struct Failure: Sendable, CustomStringConvertible {
        package var seed: UInt64
        package var step: Int?
        package var text: String

        package var description: String {
            "POSTERN_SPOOL_SEED=\(seed)\(step.map { " POSTERN_SPOOL_STEP=\($0)" } ?? ""): \(text)"
        }
    }

    /// Runs one schedule for each seed; stops at `limit` failures. `progress` gets the number of schedules done, now and then.
    package static func run(
        _ seeds: Range<UInt64>,
        threads: Int,
        lies: SimulatedDisk.Lies = [],
        limit: Int = 1,
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) -> (tally: Tally, failures: [Failure]) {
        let shared = Mutex((next: seeds.lowerBound, tally: Tally(), failures: [Failure]()))
        DispatchQueue.concurrentPerform(iterations: max(threads, 1)) { _ in
            while true {
                let seed = shared.withLock { shared -> UInt64? in
                    guard shared.next < seeds.upperBound, shared.failures.count < limit else { return nil }
                    defer { shared.next += 1 }
                    return shared.next
                }
                guard let seed else { return }
                let schedule = SpoolSchedule(seed: seed, lies: lies)
                let text = schedule.run()
                let done = shared.withLock { shared in
                    shared.tally = shared.tally + schedule.tally
                    shared.tally.schedules += 1
                    if let text { shared.failures.append(Failure(seed: seed, text: text)) }
                    return shared.tally.schedules
                }
                if done % 5_000 == 0 { progress(done) }
            }
        }
        return shared.withLock { ($0.tally, $0.failures) }
    }

    /// Runs the schedule of one seed once for each of its first life's steps, the machine stopping there.
    package static func stoppingAtEachStep(seed: UInt64) -> (tally: Tally, failure: Failure?) {
        let whole = SpoolSchedule(seed: seed, faults: .stop(atStep: nil))
        var tally = Tally()
        if let text = whole.run() { return (tally, Failure(seed: seed, step: -1, text: text)) }
        for step in 0..<whole.stepsOfFirstLife {
            let schedule = SpoolSchedule(seed: seed, faults: .stop(atStep: step))
            let text = schedule.run()
            tally = tally + schedule.tally
            tally.schedules += 1
            if let text { return (tally, Failure(seed: seed, step: step, text: text)) }
        }
        return (tally, nil)
    }

    /// Prints a schedule step by step. `step`: where the machine stops in the first life; -1 for nowhere; nil: a schedule with random faults.
    package static func replay(seed: UInt64, step: Int?) -> String? {
        let faults: SpoolSchedule.Faults = if let step { .stop(atStep: step < 0 ? nil : step) } else { .random }
        let schedule = SpoolSchedule(seed: seed, faults: faults)
        schedule.isTraced = true
        return schedule.run()
    }
}
