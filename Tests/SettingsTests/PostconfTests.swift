import Foundation
import Settings
import Testing

/// The real postconf, asked about the same directory. Runs where Postfix is installed.
@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Postconf.path), "postconf is not installed"))
struct PostconfTests {
    /// Names of ours, of newer Postfixes, and values that differ by design or from one process to the next.
    static let ours: Set<String> = [
        "smtpd_owner", "smtpd_connection_limit", "smtpd_sasl_worker_limit", "smtpd_sasl_timeout", "smtpd_client_ipv4_prefix_length",
        "smtpd_client_ipv6_prefix_length", "smtpd_drain_time", "role_heartbeat_time", "smtpd_hide_client_session",
    ]
    static let different: Set<String> = Set(ParameterTable.saferDefaults.keys).union(["process_id", "process_name"])

    private func report(_ directory: String) throws -> ConfReport {
        let environment = SystemEnvironment.current()
        func bytes(_ name: String) throws -> [UInt8] { try environment.readFile("\(directory)/\(name)").get() }
        return ConfReport(
            main: MainFile(ConfigText(try bytes("main.cf")), file: "main.cf"),
            master: MasterFile(ConfigText(try bytes("master.cf")), file: "master.cf"),
            directory: directory,
            environment: environment
        )
    }

    private func comparable(_ lines: [String]) -> [String] {
        lines.filter { line in
            let name = String(line.prefix { $0 != " " })
            return !Self.ours.contains(name) && !Self.different.contains(name)
        }
    }

    static let directories = ["stock", "empty", "rich"]

    /// Debian's files; nothing; and a bit of everything.
    private func withDirectory(_ kind: String, _ body: (String) throws -> Void) throws {
        let directory = NSTemporaryDirectory() + "postern-conf-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let rich = """
            compatibility_level = 2
            myhostname = a.b.c
            foo = $myhostname x
            unused = 1
            mydestination = $foo,  ${foo?{a   b}}
              # in between
               more
            smtp_destination_recipient_limit = 5
            virtual_maps = hash:/x
            always_bcc = \((1...60).map(String.init).joined(separator: " "))
            smtpd_restriction_classes = greylist
            greylist = check_policy_service { unix:/x, timeout=1s }
            inet_interfaces = loopback-only

            """
        let richMaster = """
            smtp inet n - y - - smtpd -v
              -o smtpd_banner=$foo -o { smtpd_helo_restrictions = permit, reject }
            smtp unix - - n - 2 smtp
            foo unix - n n - - pipe -o syslog_name=postfix/$service_name
              flags=D user=x argv=/bin/x \((1...40).map(String.init).joined(separator: " "))

            """
        let texts = ["stock": (debianMain, debianMaster), "empty": ("", ""), "rich": (rich, richMaster)][kind] ?? ("", "")
        try texts.0.write(toFile: "\(directory)/main.cf", atomically: true, encoding: .utf8)
        try texts.1.write(toFile: "\(directory)/master.cf", atomically: true, encoding: .utf8)
        try body(directory)
    }

    @Test(arguments: directories)
    func parametersPrintAlike(kind: String) throws {
        try withDirectory(kind) { directory in
            let report = try report(directory)
            let cases: [(String, ConfReport.Selection, Bool, ConfStyle)] = [
                ("-d", .defaults, false, .init()), ("-n", .set, false, .init()), ("-nx", .set, true, .init()),
                ("-x", .actual, true, .init()),
                ("-f", .actual, false, .init(folded: true)), ("-nf", .set, false, .init(folded: true)),
                ("-nH", .set, false, .init(parts: .name)),
                ("-nh", .set, false, .init(parts: .value)), ("-dx", .defaults, true, .init()),
            ]
            for (flags, selection, expand, style) in cases {
                let theirs = try Postconf.run(["-c", directory, flags])
                let mine = report.parameters(selection, expand: expand, style: style).lines.joined(separator: "\n").split(separator: "\n")
                    .map(String.init)
                #expect(comparable(mine) == comparable(theirs), "\(flags)")
            }
        }
    }

    @Test(arguments: directories)
    func servicesPrintAlike(kind: String) throws {
        try withDirectory(kind) { directory in
            let report = try report(directory)
            func compare(_ flags: String, _ names: [String], _ mine: [String]) throws {
                let theirs = try Postconf.run(["-c", directory, flags] + names)
                #expect(mine.joined(separator: "\n").split(separator: "\n").map(String.init) == theirs, "\(flags) \(names)")
            }
            for names in [[], ["smtp"], ["smtp/inet", "relay"], ["*/unix"]] {
                try compare("-M", names, report.services(names).lines)
                try compare("-Mf", names, report.services(names, style: .init(folded: true)).lines)
                try compare("-Mx", names, report.services(names, expand: true).lines)
                try compare("-P", names, report.serviceParameters(names).lines)
                try compare("-F", names, report.serviceFields(names).lines)
                try compare("-Ff", names, report.serviceFields(names, style: .init(folded: true)).lines)
            }
        }
    }

    /// All defaults, name by name, so that a failure says which.
    @Test func everyDefaultIsPostfixs() throws {
        try withDirectory("empty") { directory in
            let theirs = try Postconf.run(["-c", directory, "-d"])
            let mine = try report(directory).parameters(.defaults).lines
            let names = Set(theirs.map { String($0.prefix { $0 != " " }) })
            #expect(names.count > 800)
            #expect(names.subtracting(ParameterTable.all.map(\.name)).isEmpty, "names we do not have")
            #expect(Set(ParameterTable.all.map(\.name)).subtracting(names) == Self.ours, "names Postfix does not have")
            #expect(Set(comparable(mine)).symmetricDifference(comparable(theirs)).isEmpty)
        }
    }

    @Test(arguments: [
        // One new name at a time: Postfix adds several in no particular order.
        ["-e", "relayhost=[mail.example.com]:587", "myhostname="], ["-X", "mydestination", "foo", "nosuch"],
        ["-#", "mydestination", "always_bcc"], ["myorigin=z"],
    ])
    func editsAgree(arguments: [String]) throws {
        try withDirectory("rich") { directory in
            let path = "\(directory)/main.cf"
            let old = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
            let words = arguments.filter { !$0.hasPrefix("-") }
            let mine =
                switch arguments[0] {
                case "-X": try MainEditor.remove(words, in: old)
                case "-#": try MainEditor.commentOut(words, in: old)
                default: try MainEditor.set(words, in: old)
                }
            _ = try Postconf.run(["-c", directory] + arguments)
            let theirs = try String(contentsOfFile: path, encoding: .utf8)
            #expect(String(decoding: mine.bytes, as: UTF8.self) == theirs)
        }
    }

    @Test func replacementKeepsModeAndLeavesNothingBehind() throws {
        try withDirectory("rich") { directory in
            let path = "\(directory)/main.cf"
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
            try FileManager.default.createSymbolicLink(atPath: "\(directory)/link.cf", withDestinationPath: path)
            try FileReplacement.replace("\(directory)/link.cf", with: Array("a = b\n".utf8))
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "a = b\n")
            #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o640)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == ["link.cf", "main.cf", "master.cf"])
            #expect(throws: EditError.self) { try FileReplacement.replace("\(directory)/missing.cf", with: []) }
        }
    }

    /// The whole of Debian's package: its own files must load.
    @Test(.enabled(if: FileManager.default.fileExists(atPath: "/usr/share/postfix/master.cf.dist")))
    func packagedFilesLoad() throws {
        let environment = SystemEnvironment.current()
        func bytes(_ name: String) throws -> [UInt8] { try environment.readFile("/usr/share/postfix/\(name)").get() }
        var machine = environment
        let files = ["/c/main.cf": try bytes("main.cf.debian"), "/c/master.cf": try bytes("master.cf.dist")]
        machine.readFile = { path in files[path].map { .success($0) } ?? environment.readFile(path) }
        let (configuration, diagnostics) = Configuration.load(directory: "/c", environment: machine)
        #expect(configuration != nil)
        #expect(diagnostics.errors.isEmpty && diagnostics.warnings.isEmpty)
    }
}

enum Postconf {
    static let path = "/usr/sbin/postconf"

    /// The lines of its output; what it says on standard error is not compared.
    static func run(_ arguments: [String]) throws -> [String] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "postconf \(arguments)")
        return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}
