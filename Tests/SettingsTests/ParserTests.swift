import Settings
import Testing

@Suite struct ParserTests {
    @Test func mainFileLines() {
        let text = "# c\nmyorigin = a\n  # comment\n\n   b\nrelayhost=x\r\nempty =\n\t\n  continued\ndup = 1\ndup = 2\nlast = no newline"
        let file = MainFile(ConfigText(text), file: "main.cf")
        #expect(file.entries.map(\.name) == ["myorigin", "relayhost", "empty", "dup", "dup", "last"])
        #expect(file.entries.map(\.value) == ["a   b", "x", "continued", "1", "2", "no newline"])
        #expect(file.entries.map(\.location.line) == [2, 6, 7, 10, 11, 12])
        #expect(file.definitions["dup"]?.value == "2")
        #expect(file.diagnostics.warnings == ["main.cf:11: warning: dup is set again; the value of line 10 is not used"])
    }

    @Test(arguments: [
        ("  a = b\n", "main.cf:1: the line starts with white space, but there is no line to continue"),
        ("name\n", "main.cf:1: missing \"=\" after \"name\""), ("= x\n", "main.cf:1: missing name before \"=\""),
        ("a b = c\n", "main.cf:1: missing \"=\" in \"a b\""), ("a = b\0\n", "main.cf:1: the line contains a NUL byte"),
        ("{ a = b }\n", "main.cf:1: missing \"=\" in \"{ a\""),
    ])
    func mainFileProblems(text: String, message: String) {
        #expect(MainFile(ConfigText(text), file: "main.cf").diagnostics.errors == [message])
    }

    private func entry(_ line: String) -> (MasterEntry?, [String]) {
        MasterFile.entry(line, at: SourceLocation(file: "master.cf", line: 1))
    }

    @Test func masterColumns() throws {
        let entry = try #require(entry("127.0.0.1:40025 inet - y n 1000? 0 /usr/lib/postfix/smtpd").0)
        #expect(entry.service == "127.0.0.1:40025")
        #expect(entry.type == .inet)
        #expect(entry.isPrivate == nil)
        #expect(entry.isUnprivileged == true)
        #expect(entry.chroot == false)
        #expect(entry.wakeup == "1000?")
        #expect(entry.processLimit == 0)
        #expect(entry.command == "/usr/lib/postfix/smtpd")
        #expect(entry.formatted(folded: false) == "127.0.0.1:40025 inet -   y       n       1000?   0       /usr/lib/postfix/smtpd")
    }

    @Test(
        arguments: [
            ("-o a=b -o { c = d e } -vv -D", ["a=b", "c=d e"], 2, []), ("-oa=b -v", ["a=b"], 1, []),
            ("-o a= -o {b={x}}", ["a=", "b={x}"], 0, []),
            ("flags=D user=x argv=/bin/x -o y=z", [], 0, ["flags=D", "user=x", "argv=/bin/x", "-o", "y=z"]),
            ("-o a=b flags=F argv=b ${recipient} {x y}", ["a=b"], 0, ["flags=F", "argv=b", "${recipient}", "x y"]),
            ("-v -- -o", [], 1, ["-o"]),
        ] as [(String, [String], Int, [String])]
    )
    func masterOptions(arguments: String, overrides: [String], verbosity: Int, rest: [String]) throws {
        let options = try #require(entry("x unix - - n - - pipe \(arguments)").0).options
        #expect(options.overrides.map { "\($0.name)=\($0.value)" } == overrides)
        #expect(options.verbosity == verbosity)
        #expect(options.rest == rest)
        #expect(options.problems.isEmpty)
    }

    @Test(arguments: [
        ("-o", "-o needs name=value after it"), ("-o x", "-o x: missing \"=\" after \"x\""), ("-z", "unknown option -z"),
        ("-o {=x}", "-o =x: missing name before \"=\""),
    ])
    func masterOptionProblems(arguments: String, problem: String) throws {
        #expect(try #require(entry("x unix - - n - - smtp \(arguments)").0).options.problems == [problem])
    }

    @Test(arguments: [("{a b", "missing \"}\" in \"{a b\""), ("{c}x", "white space is missing after \"}\"")])
    func masterBraceProblems(arguments: String, problem: String) {
        #expect(entry("x unix - - n - - smtp \(arguments)").1 == [problem])
    }

    @Test(arguments: [
        ("a, b  c\t,d", ["a", "b", "c", "d"]), ("x { a, b } y", ["x", "{ a, b }", "y"]),
        ("inline:{a=b, { c = d }} z", ["inline:{a=b, { c = d }}", "z"]),
        ("", []), (" ,, ", []), ("{a", ["{a"]), ("a}b", ["a}b"]),
    ])
    func lists(text: String, elements: [String]) {
        #expect(ListSyntax.elements(text) == elements)
    }

    @Test(
        arguments: [
            ("30", TimeUnit.seconds, 30), ("30s", .days, 30), ("5m", .seconds, 300), ("2h", .seconds, 7200), ("1d", .seconds, 86400),
            ("1w", .seconds, 604_800),
            ("5", .days, 432_000), ("3D", .seconds, 259_200), ("0", .seconds, 0), ("", .seconds, nil), ("x", .seconds, nil),
            ("5x", .seconds, nil), ("-5", .seconds, nil),
            ("5 m", .seconds, nil), ("99999999999999999999", .seconds, nil), ("9999999w", .seconds, nil), ("+5", .seconds, nil),
            ("٣", .seconds, nil), ("5s5", .seconds, nil),
        ] as [(String, TimeUnit, Int?)]
    )
    func times(text: String, unit: TimeUnit, seconds: Int?) {
        #expect(TimeValue.seconds(text, unit: unit) == seconds)
    }

    @Test func noInputTrapsAParser() {
        var generator = SplitMix(state: 0x5EED)
        let alphabet = Array(" \t\n\r#={}$()?:<>!-,/.oabv0\0\u{FF}é".utf8)
        for round in 0..<1500 {
            let length = Int.random(in: 0...120, using: &generator)
            let bytes = (0..<length).map { _ in
                round % 4 == 0 ? UInt8.random(in: 0...255, using: &generator) : alphabet.randomElement(using: &generator) ?? 0
            }
            let text = String(decoding: bytes, as: UTF8.self)
            let main = MainFile(ConfigText(bytes), file: "m")
            // Whatever parses can be printed, expanded and edited, too.
            for definition in main.entries {
                var expander = Expander { main.definitions[$0]?.value }
                _ = try? expander.expand(definition.value)
                for row in ParameterTable.all.prefix(40) { _ = row.problem(with: definition.value) }
            }
            var expander = Expander { _ in text }
            _ = try? expander.expand(text)
            _ = ListSyntax.elements(text)
            _ = TimeValue.seconds(text, unit: .seconds)
            let master = MasterFile(ConfigText("x unix - - n - - pipe " + text + "\n" + text), file: "m")
            for entry in master.entries {
                _ = entry.options
                _ = entry.formatted(folded: true)
            }
            #expect(
                LineEditor.edit(bytes) { _ in nil }.count - bytes.count <= 1,
                "an edit of nothing changes nothing but a missing last line end"
            )
        }
        // A whole configuration of rubbish is refused, not fatal.
        for _ in 0..<40 {
            let bytes = (0..<400).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
            _ = load(String(decoding: bytes, as: UTF8.self), master: smtpdLine + String(decoding: bytes.reversed(), as: UTF8.self))
        }
    }
}

/// A small repeatable generator, so that a failure comes back.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
