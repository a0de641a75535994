import Foundation
import PosternTesting
import SpoolSimulation
import Testing

/// Random schedules on a disk that forgets, beside a model that does not. `POSTERN_SPOOL_SEED` (and `POSTERN_SPOOL_STEP`) replays one,
/// `POSTERN_SPOOL_SCHEDULES` sets how many are run; `make soak` runs 100,000.
@Suite struct SimulationTests {
    private static func number(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap(UInt64.init) }

    @Test func promiseHoldsOnRandomSchedules() {
        if let seed = Self.number("POSTERN_SPOOL_SEED") {
            #expect(Schedules.replay(seed: seed, step: Self.number("POSTERN_SPOOL_STEP").map(Int.init)) == nil)
            return
        }
        let count = Self.number("POSTERN_SPOOL_SCHEDULES") ?? 600
        let (tally, failures) = Schedules.run(1..<count + 1, threads: 2)
        print(tally)
        for failure in failures {
            print(Schedules.replay(seed: failure.seed, step: failure.step) ?? "not seen again")
            Issue.record("\(failure)")
        }
        // The schedules are worth something only if they come across what they are about.
        let enough = Int(count) / 4
        #expect(tally.messages > 4 * enough && tally.starts > 2 * enough && tally.stops > enough)
        #expect(tally.segmentsRemoved > enough && tally.failures > enough && tally.clockSteps > enough / 2)
        #expect(tally.delaysTold > enough)
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func promiseHoldsWhereverTheMachineStops(seed: UInt64) {
        let (tally, failure) = Schedules.stoppingAtEachStep(seed: seed)
        #expect(tally.schedules > 20)
        guard let failure else { return }
        print(Schedules.replay(seed: failure.seed, step: failure.step) ?? "not seen again")
        Issue.record("\(failure)")
    }

    /// The schedules can fail: whatever the disk lies about is found out.
    @Test(arguments: [SimulatedDisk.Lies.fileFlushes, .directoryFlushes, .failedFlushes, .failedWrites, .removals])
    func lyingDiskIsFoundOut(lies: SimulatedDisk.Lies) {
        let (_, failures) = Schedules.run(1..<300, threads: 2, lies: lies)
        #expect(!failures.isEmpty)
    }
}
