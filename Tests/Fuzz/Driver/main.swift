import CFuzzer
import FuzzTargets
import Glibc

// `postern-fuzz TARGET [libFuzzer's options and corpus folders]`. One process is one target, so that a trap is that target's.

enum Chosen {
    static let name = CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : ""
    static let target = FuzzTarget.named(name)

    static func runOnce(_ bytes: [UInt8]) {
        do { try target?.run(bytes) } catch {
            print("violation: \(error)")
            fflush(nil)
            abort()
        }
    }

    /// libFuzzer sees the program's name and what follows the target.
    static func fuzz() -> CInt {
        let words = [CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)
        var arguments = unsafe words.map { unsafe strdup($0) } + [nil]
        var count = CInt(words.count)
        return unsafe arguments.withUnsafeMutableBufferPointer { buffer in
            var first = buffer.baseAddress
            return unsafe LLVMFuzzerRunDriver(&count, &first) { data, size in
                Chosen.runOnce(unsafe Array(UnsafeBufferPointer(start: data, count: size)))
                return 0
            }
        }
    }
}

if Chosen.name == "--list" {
    for target in FuzzTarget.all { print(target.name) }
} else if let target = Chosen.target, CommandLine.arguments.dropFirst(2).first == "--dictionary" {
    print(target.dictionary, terminator: "")
} else if let target = Chosen.target, CommandLine.arguments.dropFirst(2).first == "--seeds" {
    // One line each, in hexadecimal.
    for seed in target.seeds { print(seed.utf8.map { String(UInt16($0) | 0x100, radix: 16).dropFirst() }.joined()) }
} else if Chosen.target == nil {
    print("usage: postern-fuzz TARGET [options] [folders]; targets: \(FuzzTarget.all.map(\.name).joined(separator: " "))")
    exit(2)
} else {
    exit(Chosen.fuzz())
}
