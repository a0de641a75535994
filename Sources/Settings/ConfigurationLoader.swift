/// Builds a `Configuration` from a directory, step by step, collecting what is wrong.
struct ConfigurationLoader {
    let directory: String
    let environment: LoadEnvironment
    private(set) var diagnostics: [Diagnostic] = []
    private var seen: Set<Diagnostic> = []
    private var files: [String] = []

    init(directory: String, environment: LoadEnvironment) {
        self.directory = directory
        self.environment = environment
    }

    /// One finding is said once, however many services share its cause.
    mutating func report(_ found: [Diagnostic]) {
        for diagnostic in found where seen.insert(diagnostic).inserted { diagnostics.append(diagnostic) }
    }

    mutating func load() -> Configuration? {
        guard let mainText = read("\(directory)/main.cf"), let masterText = read("\(directory)/master.cf") else { return nil }
        let main = MainFile(mainText, file: "\(directory)/main.cf")
        let master = MasterFile(masterText, file: "\(directory)/master.cf")
        report(main.diagnostics + master.diagnostics)

        var view = ParameterView(main: main.definitions, computed: ["config_directory": directory])
        replaceOriginFile(&view)
        let interfaces = computeDefaults(&view)
        let files = listFiles(view: view, master: master)

        var problems: [Diagnostic] = []
        let settings = view.settings(serviceName: "", files: files, problems: &problems)
        report(problems)
        let services = services(master.entries, view: view, main: settings, files: files, interfaces: interfaces)
        report(SupportCheck(main: main, mainSettings: settings, services: services).diagnostics())
        report(UnknownNames(main: main, master: master, settings: settings).diagnostics())
        return Configuration(directory: directory, main: settings, services: services, files: self.files, facts: environment.facts)
    }

    private mutating func read(_ path: String) -> ConfigText? {
        switch environment.readFile(path) {
        case .success(let bytes):
            files.append(path)
            return ConfigText(bytes)
        case .failure(let problem):
            report([Diagnostic(.error, "cannot read \(path): \(problem.message)")])
            return nil
        }
    }

    /// `myorigin = /etc/mailname`: the first line of the file is the value.
    private mutating func replaceOriginFile(_ view: inout ParameterView) {
        var expander = view.expander()
        guard let definition = view.main["myorigin"], let path = try? expander.expand(definition.value), path.hasPrefix("/") else { return }
        switch environment.readFile(path) {
        case .success(let bytes):
            files.append(path)
            let line = bytes.prefix { $0 != UInt8(ascii: "\n") }
            let name = String(decoding: line, as: UTF8.self).trimmed()
            if name.isEmpty { report([Diagnostic(.error, "myorigin: the first line of \(path) is empty", at: definition.location)]) }
            view.main["myorigin"]?.value = name
        case .failure(let problem):
            report([Diagnostic(.error, "myorigin: cannot read \(path): \(problem.message)", at: definition.location)])
        }
    }

    /// myhostname, mydomain and mynetworks, in this order: each may use the one before. Returns the addresses of this mail system.
    private mutating func computeDefaults(_ view: inout ParameterView) -> OwnAddresses {
        for (name, value) in ComputedDefaults.names(facts: environment.facts, view: view) { view.computed[name] = value }
        let own = OwnAddresses(view: view, environment: environment)
        report(own.diagnostics)
        view.computed["mynetworks"] = ComputedDefaults.networks(own: own, view: view)
        return own
    }

    /// Reads the `/file/name` elements of all match lists, main.cf's and master.cf's.
    private mutating func listFiles(view: ParameterView, master: MasterFile) -> [String: [String]] {
        var reader = ListFileReader(readFile: environment.readFile)
        reader.read(view: view)
        for entry in master.entries {
            var service = view
            service.apply(entry)
            reader.read(view: service)
        }
        report(reader.diagnostics)
        files += reader.paths
        return reader.files
    }

    private mutating func services(
        _ entries: [MasterEntry],
        view: ParameterView,
        main: ServiceSettings,
        files: [String: [String]],
        interfaces: OwnAddresses
    ) -> [MasterService] {
        let ports = PortNames(
            known: main.list("known_tcp_ports"),
            services: (try? environment.readFile("/etc/services").get()).map(ConfigText.init)
        )
        var classifier = ServiceClassifier(main: main, ports: ports, own: interfaces, environment: environment)
        var out: [MasterService] = []
        for entry in entries {
            guard let role = classifier.role(of: entry) else { continue }
            let options = entry.options
            var serviceView = view
            serviceView.apply(entry)
            var problems: [Diagnostic] = []
            let settings = serviceView.settings(serviceName: entry.service, files: files, problems: &problems)
            if role != .disabled { report(problems) }
            out.append(
                MasterService(
                    entry: entry,
                    role: role,
                    settings: settings,
                    verbosity: options.verbosity,
                    arguments: options.rest,
                    chroot: entry.chroot ?? main.chrootDefault
                )
            )
        }
        classifier.summarize()
        report(classifier.diagnostics)
        return out
    }
}

extension ParameterView {
    /// Puts a service line's `-o` overrides and names on top.
    mutating func apply(_ entry: MasterEntry) {
        for override in entry.options.overrides {
            overrides[override.name] = Definition(value: override.value, location: entry.location)
        }
        computed["service_name"] = entry.service
        computed["process_name"] = entry.command
    }
}

extension ServiceSettings {
    /// The chroot column's `-`: yes below compatibility level 1.
    fileprivate var chrootDefault: Bool {
        guard let level = CompatibilityLevel(text("compatibility_level")), let one = CompatibilityLevel("1") else { return false }
        return level < one
    }
}
