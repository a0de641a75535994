/// One way into the program for bytes that nobody vouches for, with what must hold whatever they are.
///
/// The same function runs under libFuzzer (`make fuzz`), over the kept corpus, and for a short seeded run in `make test`. A trap, a hang
/// and a thrown ``FuzzViolation`` are findings.
package struct FuzzTarget: Sendable {
    package let name: String
    /// Words of the input's language, which mutations insert.
    package let words: [String]
    /// Inputs that are well formed, to start from.
    package let seeds: [String]
    package let run: @Sendable ([UInt8]) throws -> Void

    init(_ name: String, words: [String], seeds: [String], run: @escaping @Sendable ([UInt8]) throws -> Void) {
        self.name = name
        self.words = words
        self.seeds = seeds
        self.run = run
    }

    package static let all: [FuzzTarget] = [
        commandLine, path, parameters, xtext, data, headers, addressList, reply, dns, handOff, control, authentication, spool,
        configuration,
        tables, values, session, chunks, snapshot, proxy, xclient,
    ]

    /// The words in the form of libFuzzer's `-dict` files.
    package var dictionary: String {
        words.map { word in
            let text = word.utf8.map { byte in
                let isPlain = (0x20..<0x7F).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
                return isPlain ? String(UnicodeScalar(byte)) : "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
            return "\"\(text.joined())\"\n"
        }.joined()
    }

    package static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// Something that must hold did not.
package struct FuzzViolation: Error, CustomStringConvertible {
    package let description: String
}

/// Throws when `condition` is false.
func require(_ condition: Bool, _ what: @autoclosure () -> String) throws {
    if !condition { throw FuzzViolation(description: what()) }
}

/// Bytes as readable text, for the report of a violation.
func shown(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { (0x20..<0x7F).contains($0) ? String(UnicodeScalar($0)) : "\\x" + (($0 < 16 ? "0" : "") + String($0, radix: 16)) }.joined()
}

extension [UInt8] {
    /// Cuts the input into pieces whose lengths come from the input itself, so that a fuzzer can choose the boundaries.
    func pieces(maximum: Int) -> [ArraySlice<UInt8>] {
        var out: [ArraySlice<UInt8>] = []
        var position = 0
        var state = UInt64(count) &* 0x9E37_79B9_7F4A_7C15 | 1
        while position < count {
            state = state &* 6_364_136_223_846_793_005 &+ UInt64(self[position]) &+ 1
            let length = 1 + Int(state >> 33) % maximum
            let end = Swift.min(position + length, count)
            out.append(self[position..<end])
            position = end
        }
        return out
    }
}
