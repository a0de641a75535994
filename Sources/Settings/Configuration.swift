/// A loaded configuration: immutable, expanded and checked.
package struct Configuration: Sendable {
    /// The directory that holds main.cf and master.cf.
    package let directory: String
    /// main.cf without any service's overrides.
    package let main: ServiceSettings
    /// One for each entry of master.cf, in its order.
    package let services: [MasterService]
    /// All files that were read: main.cf, master.cf and the files that lists name. Tables are not among them.
    package let files: [String]
    package let facts: HostFacts

    /// The services that take mail, in the order of master.cf.
    package var smtpdServices: [MasterService] {
        services.filter { if case .smtpd = $0.role { true } else { false } }
    }

    /// The delivery agents, in the order of master.cf.
    package var transports: [MasterService] {
        services.filter { if case .transport = $0.role { true } else { false } }
    }

    /// main.cf with the overrides of a service's line.
    package func settings(for service: MasterService) -> ServiceSettings { service.settings }

    /// Reads and checks `main.cf` and `master.cf` in a directory. All problems are found in one run; the configuration is nil when one of
    /// them is an error.
    package static func load(directory: String, environment: LoadEnvironment) -> (Configuration?, [Diagnostic]) {
        let (configuration, diagnostics) = examine(directory: directory, environment: environment)
        return (diagnostics.contains { $0.severity == .error } ? nil : configuration, diagnostics)
    }

    /// The same for `postern check`, which goes on to look at tables, keys and ports: a line with an error is reported and left out of the
    /// configuration. Nobody may serve such a configuration. It is nil only when main.cf or master.cf cannot be read.
    package static func examine(directory: String, environment: LoadEnvironment) -> (Configuration?, [Diagnostic]) {
        var loader = ConfigurationLoader(directory: directory, environment: environment)
        let configuration = loader.load()
        return (configuration, loader.diagnostics)
    }

    /// The same on this machine. Blocks while host names in inet_interfaces and master.cf are resolved.
    package static func load(directory: String) -> (Configuration?, [Diagnostic]) {
        load(directory: directory, environment: SystemEnvironment.current())
    }

    /// `examine` on this machine; blocks as `load` does.
    package static func examine(directory: String) -> (Configuration?, [Diagnostic]) {
        examine(directory: directory, environment: SystemEnvironment.current())
    }

    /// The directory to use when the command line names none: the first that has a main.cf of /etc/postern and /etc/postfix.
    package static func defaultDirectory(environment: LoadEnvironment) -> String {
        let directories = ["/etc/postern", "/etc/postfix"]
        return directories.first { (try? environment.readFile("\($0)/main.cf").get()) != nil } ?? directories[0]
    }
}
