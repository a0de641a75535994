extension ServiceSettings {
    /// Settings for tests: the table's defaults on a machine called `mail.example.com` that has only the loopback interface, with
    /// `compatibility_level = 3.6` (as Debian writes it), and the given values as if they stood in main.cf. Traps when a value is invalid.
    /// `files` gives the elements of `/file/name` lists.
    package static func testing(
        _ values: [String: String] = [:],
        serviceName: String = "",
        overrides: [String: String] = [:],
        files: [String: [String]] = [:]
    ) -> ServiceSettings {
        var main = ["compatibility_level": Definition(value: "3.6", location: nil)]
        for (name, value) in values { main[name] = Definition(value: value, location: nil) }
        let hostName = values["myhostname"] ?? "mail.example.com"
        let computed = [
            "myhostname": hostName,
            "mydomain": HostFacts.defaultDomain(hostName: hostName),
            "mynetworks": "127.0.0.0/8 [::1]/128",
            "service_name": serviceName,
            "process_name": "smtpd",
        ]
        let view = ParameterView(main: main, overrides: overrides.mapValues { Definition(value: $0, location: nil) }, computed: computed)
        var problems: [Diagnostic] = []
        let settings = view.settings(serviceName: serviceName, files: files, problems: &problems)
        precondition(problems.isEmpty, "\(problems)")
        return settings
    }

    /// The same service with other values on top; traps when one is invalid.
    package func overriding(_ overrides: [String: String]) -> ServiceSettings {
        var problems: [Diagnostic] = []
        guard let settings = overriding(overrides, problems: &problems) else { preconditionFailure("\(problems)") }
        return settings
    }
}
