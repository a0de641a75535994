import Foundation
import SpoolSimulation

// The long form of SimulationTests, to be built with optimisation: POSTERN_SPOOL_SCHEDULES random schedules (100,000), and for each
// thousand of them one more that is stopped at each of its steps. POSTERN_SPOOL_SEED (and _STEP) replays one. Exit status 1 if a promise was broken.

/// At once, as a long run is watched.
@Sendable func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

let environment = ProcessInfo.processInfo.environment
if let seed = environment["POSTERN_SPOOL_SEED"].flatMap(UInt64.init) {
    let failure = Schedules.replay(seed: seed, step: environment["POSTERN_SPOOL_STEP"].flatMap(Int.init))
    say(failure ?? "every promise was kept")
    exit(failure == nil ? 0 : 1)
}
let count = environment["POSTERN_SPOOL_SCHEDULES"].flatMap(UInt64.init) ?? 100_000
let threads = environment["POSTERN_SPOOL_THREADS"].flatMap(Int.init) ?? ProcessInfo.processInfo.activeProcessorCount
let begun = Date()
var (tally, failures) = Schedules.run(1..<count + 1, threads: threads, limit: 20) { done in
    say("\(done) schedules, \(Int(-begun.timeIntervalSinceNow)) s")
}
for seed in 1...max(count / 1_000, 1) {
    let (steps, failure) = Schedules.stoppingAtEachStep(seed: seed)
    tally = tally + steps
    if let failure { failures.append(failure) }
}
say("\(tally)\nin \(Int(-begun.timeIntervalSinceNow)) s; broken promises: \(failures.count)")
for failure in failures { say("\(failure)") }
exit(failures.isEmpty ? 0 : 1)
