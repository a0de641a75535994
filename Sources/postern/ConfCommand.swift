import ArgumentParser
import Glibc
import Settings
import Tables

/// `postern conf`: what postconf prints and edits, in the same format.
struct ConfCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conf",
        abstract: "Print or change main.cf and master.cf, in the format of Postfix's postconf.",
        discussion: """
            Without names: all parameters. NAME: these parameters. NAME=VALUE: change main.cf.
            With -M: services of master.cf (SERVICE[/TYPE]); -P: their -o settings (SERVICE/TYPE/NAME); -F: their columns.
            """,
        helpNames: .long
    )

    @OptionGroup var configuration: ConfigurationOption
    @Flag(name: .customShort("n"), help: "Only what main.cf sets.")
    var set = false
    @Flag(name: .customShort("d"), help: "The defaults instead of the values in force.")
    var defaults = false
    @Flag(name: .customShort("x"), help: "Expand $name.")
    var expand = false
    @Flag(name: .customShort("h"), help: "Values without names.")
    var valuesOnly = false
    @Flag(name: .customShort("H"), help: "Names without values.")
    var namesOnly = false
    @Flag(name: .customShort("f"), help: "Fold long lines.")
    var fold = false
    @Option(name: .customShort("o"), help: ArgumentHelp("Print as if main.cf had this setting.", valueName: "name=value"))
    var overrides: [String] = []
    @Flag(name: .customShort("M"), help: "Services of master.cf.")
    var services = false
    @Flag(name: .customShort("P"), help: "The -o settings in master.cf.")
    var serviceParameters = false
    @Flag(name: .customShort("F"), help: "The columns of master.cf.")
    var serviceFields = false
    @Flag(name: .customShort("p"), help: "Parameters of main.cf: what is done anyway.")
    var mainParameters = false
    @Flag(name: .customShort("m"), help: "The types of lookup tables.")
    var tableTypes = false
    @Flag(name: .customShort("a"), help: "The SASL types of the server (smtpd_sasl_type).")
    var serverSASL = false
    @Flag(name: .customShort("A"), help: "The SASL types of the client (smtp_sasl_type).")
    var clientSASL = false
    @Flag(name: .customShort("e"), help: "Change settings (NAME=VALUE).")
    var edit = false
    @Flag(name: .customShort("X"), help: "Remove settings.")
    var remove = false
    @Flag(name: .customShort("#"), help: "Turn settings into comments.")
    var commentOut = false
    @Argument(help: ArgumentHelp("Names, patterns or settings.", valueName: "name"))
    var words: [String] = []

    func validate() throws {
        func atMostOne(_ flags: [(Bool, String)]) throws {
            let given = flags.filter(\.0).map(\.1)
            if given.count > 1 { throw ValidationError("specify one of \(given.joined(separator: " "))") }
        }
        try atMostOne([(set, "-n"), (defaults, "-d"), (edits, edit ? "-e" : remove ? "-X" : commentOut ? "-#" : "NAME=VALUE")])
        try atMostOne([(edit, "-e"), (remove, "-X"), (commentOut, "-#")])
        try atMostOne([(services, "-M"), (serviceParameters, "-P"), (serviceFields, "-F"), (mainParameters, "-p")])
        try atMostOne([(tableTypes, "-m"), (serverSASL, "-a"), (clientSASL, "-A")])
        try atMostOne([(valuesOnly, "-h"), (namesOnly, "-H")])
        if isAboutMaster, set || defaults { throw ValidationError("-n and -d are for main.cf") }
        if commentOut, serviceParameters { throw ValidationError("-# does not work with -P; use -X") }
        if remove || commentOut, serviceFields { throw ValidationError("-F takes -e only") }
        if (edit || remove || commentOut) && words.isEmpty { throw ValidationError("nothing to change: specify names or settings") }
    }

    private var isAboutMaster: Bool { services || serviceParameters || serviceFields }

    /// A setting among the words is an edit, with or without -e.
    private var edits: Bool { edit || remove || commentOut || words.contains { $0.contains("=") } }

    func run() throws {
        if let names = builtIn {
            for name in names { print(name) }
            return
        }
        let environment = SystemEnvironment.current()
        let directory = configuration.resolved
        if edits { try change(in: directory) } else { try report(on: directory, environment) }
    }

    /// What this program has, whatever the configuration says.
    private var builtIn: [String]? {
        if tableTypes { return TableRegistry.types }
        if serverSASL { return ["cyrus", "dovecot"] }
        return clientSASL ? ["cyrus"] : nil
    }

    private func change(in directory: String) throws {
        let path = "\(directory)/\(isAboutMaster ? "master.cf" : "main.cf")"
        let old = try read(path)
        let result = try edited(old)
        warn(result.warnings)
        if result.bytes != old { try FileReplacement.replace(path, with: result.bytes) }
    }

    private func edited(_ old: [UInt8]) throws(EditError) -> EditResult {
        if services {
            if remove { return try MasterEditor.removeEntries(words, in: old) }
            if commentOut { return try MasterEditor.commentOutEntries(words, in: old) }
            return try MasterEditor.setEntries(words, in: old)
        }
        if serviceParameters {
            return remove ? try MasterEditor.removeParameters(words, in: old) : try MasterEditor.setParameters(words, in: old)
        }
        if serviceFields { return try MasterEditor.setFields(words, in: old) }
        if remove { return try MainEditor.remove(words, in: old) }
        return commentOut ? try MainEditor.commentOut(words, in: old) : try MainEditor.set(words, in: old)
    }

    private func report(on directory: String, _ environment: LoadEnvironment) throws {
        // The defaults are the same whatever main.cf says, and whether there is one.
        let mainBytes = defaults ? [] : try read("\(directory)/main.cf")
        let main = MainFile(ConfigText(mainBytes), file: "\(directory)/main.cf")
        // Without master.cf only the transports' own parameters are unknown.
        let masterBytes = isAboutMaster ? try read("\(directory)/master.cf") : (try? read("\(directory)/master.cf")) ?? []
        let master = MasterFile(ConfigText(masterBytes), file: "\(directory)/master.cf")
        let problems = main.diagnostics + master.diagnostics
        warn(problems.map(\.text))
        let settings = try overrides.map { word in
            guard let equals = word.firstIndex(of: "="), equals != word.startIndex else {
                throw ValidationError("-o needs name=value, not \"\(word)\"")
            }
            return (name: String(word[..<equals]), value: String(word[word.index(after: equals)...]))
        }
        let report = ConfReport(
            main: main,
            master: master,
            directory: directory,
            settings: settings,
            environment: environment,
            processID: String(getpid())
        )
        let style = ConfStyle(parts: valuesOnly ? .value : namesOnly ? .name : .both, folded: fold)
        let (lines, warnings) = output(of: report, style)
        for line in lines { print(line) }
        warn(warnings)
        if !isAboutMaster, !defaults {
            warn(report.unusedNames.map { "\(directory)/main.cf: unused parameter: \($0)=\(main.definitions[$0]?.value ?? "")" })
        }
        if problems.contains(where: { $0.severity == .error }) { throw ExitCode.failure }
    }

    private func output(of report: ConfReport, _ style: ConfStyle) -> (lines: [String], warnings: [String]) {
        if services { return report.services(words, expand: expand, style: style) }
        if serviceParameters { return report.serviceParameters(words, expand: expand, style: style) }
        if serviceFields { return report.serviceFields(words, expand: expand, style: style) }
        return report.parameters(defaults ? .defaults : set ? .set : .actual, names: words, expand: expand, style: style)
    }

    private func read(_ path: String) throws -> [UInt8] {
        switch SystemEnvironment.readFile(path) {
        case .success(let bytes): return bytes
        case .failure(let problem): throw EditError(message: "cannot read \(path): \(problem.message)")
        }
    }

    private func warn(_ messages: [String]) {
        for message in messages { complain("postern conf: warning: \(message)") }
    }
}
