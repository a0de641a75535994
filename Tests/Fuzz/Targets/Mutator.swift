/// SplitMix64: small, seeded, the same everywhere.
package struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Makes new inputs from known ones, without coverage: what `make test` runs for a short while.
package struct Mutator {
    private var random: SeededGenerator
    private let corpus: [[UInt8]]
    private let words: [[UInt8]]
    private static let limit = 4096

    package init(_ target: FuzzTarget, corpus: [[UInt8]], seed: UInt64) {
        random = SeededGenerator(seed: seed)
        self.corpus = corpus.isEmpty ? [[]] : corpus
        words =
            target.words.map { Array($0.utf8) }
            + ["\r\n", "\n", "\r", "\0", ".", "\r\n.\r\n", "<>", "\"", "\\", "\u{FF}"].map { Array($0.utf8) }
    }

    /// The next input; the same sequence for the same seed and corpus.
    package mutating func next() -> [UInt8] {
        var bytes = pick(corpus)
        for _ in 0..<Int.random(in: 1...6, using: &random) { mutate(&bytes) }
        return Array(bytes.prefix(Self.limit))
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        let position = Int.random(in: 0...bytes.count, using: &random)
        switch Int.random(in: 0..<8, using: &random) {
        case 0: bytes.insert(UInt8.random(in: 0...255, using: &random), at: position)
        case 1: bytes.insert(contentsOf: pick(words), at: position)
        case 2 where position < bytes.count: bytes[position] = UInt8.random(in: 0...255, using: &random)
        case 3 where position < bytes.count: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 4 where position < bytes.count:
            bytes.removeSubrange(position..<min(bytes.count, position + Int.random(in: 1...16, using: &random)))
        case 5 where position < bytes.count:
            // A run many times over: what grows faster than its input shows here.
            let run = Array(bytes[position..<min(bytes.count, position + Int.random(in: 1...8, using: &random))])
            let count = min(Int.random(in: 1...64, using: &random), Self.limit / run.count)
            bytes.insert(contentsOf: repeatElement(run, count: count).joined(), at: position)
        case 6:
            let other = pick(corpus)
            bytes = Array(bytes[..<position]) + other[Int.random(in: 0...other.count, using: &random)...]
        default: bytes.insert(contentsOf: pick(words), at: position)
        }
    }

    private mutating func pick(_ list: [[UInt8]]) -> [UInt8] { list[Int.random(in: 0..<list.count, using: &random)] }
}
