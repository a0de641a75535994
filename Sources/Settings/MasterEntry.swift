/// One service line of master.cf (master(5)).
package struct MasterEntry: Sendable, Hashable {
    package enum ServiceType: String, Sendable, CaseIterable {
        case inet, unix, fifo, pass
        case unixDatagram = "unix-dgram"
    }

    /// `smtp`, `127.0.0.1:40025`, `[::1]:587`.
    package var service: String
    package var type: ServiceType
    /// The columns private, unprivileged and chroot; nil is `-`, the built-in default.
    package var isPrivate: Bool?
    package var isUnprivileged: Bool?
    package var chroot: Bool?
    /// As written: `-`, `0`, `1000?`.
    package var wakeup: String
    /// nil is `-`; 0 is no limit.
    package var processLimit: Int?
    package var command: String
    /// What follows the command; a `{ ... }` group is one element without its braces.
    package var arguments: [Argument]
    package var location: SourceLocation

    /// `service/type`, as `conf -M` and `conf -P` name it.
    package var key: String { "\(service)/\(type.rawValue)" }

    /// One word after the command.
    package struct Argument: Sendable, Hashable {
        package var text: String

        /// As it stands in master.cf: with braces when it has white space in it or would be read as a group.
        package var quoted: String {
            text.isEmpty || text.utf8.contains(where: ListSyntax.isSpace) || text.utf8.first == UInt8(ascii: "{") ? "{\(text)}" : text
        }
    }
}

extension MasterEntry {
    /// The options of the command line, as getopt(3) would find them.
    package struct Options: Sendable, Hashable {
        /// `-o name=value`, in order; the last of a name holds.
        package var overrides: [Override] = []
        /// How many `-v`.
        package var verbosity = 0
        /// The words that are not options: for pipe(8) its attributes and the command.
        package var rest: [String] = []
        package var problems: [String] = []

        package struct Override: Sendable, Hashable {
            package var name: String
            package var value: String
        }
    }

    /// Splits the arguments into options and the rest. Options end at the first word that is none, so that pipe(8)'s commands keep theirs.
    package var options: Options {
        var options = Options()
        var words = arguments.map(\.text)[...]
        while let word = words.first, word.utf8.first == UInt8(ascii: "-"), word != "-" {
            words = words.dropFirst()
            if word == "--" { break }
            readOptions(word, &words, into: &options)
        }
        options.rest = Array(words)
        return options
    }

    /// One word of option letters: `-v`, `-vv`, `-oname=value`.
    private func readOptions(_ word: String, _ words: inout ArraySlice<String>, into options: inout Options) {
        var letters = word.dropFirst()
        while let letter = letters.popFirst() {
            switch letter {
            case "v": options.verbosity += 1
            case "D": continue
            case "o":
                let attached = String(letters)
                letters = ""
                guard let setting = attached.isEmpty ? words.popFirst() : attached else {
                    options.problems.append("-o needs name=value after it")
                    return
                }
                switch MainFile.assignment(setting) {
                case .success(let (name, value)): options.overrides.append(.init(name: name, value: value))
                case .failure(let problem): options.problems.append("-o \(setting): \(problem.message)")
                }
            default: options.problems.append("unknown option -\(letter)")
            }
        }
    }
}
