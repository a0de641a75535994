import Foundation
import FuzzTargets
import Testing

/// The kept inputs of the fuzz targets, the seeds, and a short seeded run. `make fuzz` is the long form, with coverage.
@Suite struct ReplayTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fuzz")

    static func inputs(_ folder: String, _ target: FuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
        let directory = root.appending(path: "\(folder)/\(target.name)")
        guard FileManager.default.fileExists(atPath: directory.path) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted().map { name in
            (name, Array(try Data(contentsOf: directory.appending(path: name))))
        }
    }

    @Test(arguments: FuzzTarget.all.map(\.name))
    func replay(_ name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        for seed in target.seeds { #expect(throws: Never.self, "seed \(seed)") { try target.run(Array(seed.utf8)) } }
        for folder in ["Corpus", "Found"] {
            for input in try Self.inputs(folder, target) {
                #expect(throws: Never.self, "\(folder)/\(name)/\(input.name)") { try target.run(input.bytes) }
            }
        }
    }

    /// POSTERN_FUZZ_SECONDS makes it longer, POSTERN_FUZZ_SEED another run.
    @Test(arguments: FuzzTarget.all.map(\.name))
    func seededRun(_ name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let environment = ProcessInfo.processInfo.environment
        let seconds = environment["POSTERN_FUZZ_SECONDS"].flatMap(Double.init) ?? 0.25
        let seed = environment["POSTERN_FUZZ_SEED"].flatMap(UInt64.init) ?? 1
        let known = try target.seeds.map { Array($0.utf8) } + ["Corpus", "Found"].flatMap { try Self.inputs($0, target).map(\.bytes) }
        var mutator = Mutator(target, corpus: known, seed: seed)
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end {
            let input = mutator.next()
            do { try target.run(input) } catch {
                Issue.record("\(name): \(error), for \(Data(input).base64EncodedString())")
                return
            }
        }
    }
}
