internal import SMTPCore

/// Decides what each line of master.cf is to us.
struct ServiceClassifier {
    let main: ServiceSettings
    let ports: PortNames
    let own: OwnAddresses
    let environment: LoadEnvironment
    private(set) var diagnostics: [Diagnostic] = []
    private var listeners: [(address: ListenAddress, location: SourceLocation)] = []
    private var skipped: [String] = []

    init(main: ServiceSettings, ports: PortNames, own: OwnAddresses, environment: LoadEnvironment) {
        self.main = main
        self.ports = ports
        self.own = own
        self.environment = environment
    }

    /// nil when the line cannot be served, which is then reported.
    mutating func role(of entry: MasterEntry) -> MasterService.Role? {
        let command = String(entry.command.split(separator: "/").last ?? "")
        if isDisabled(entry) { return .disabled }
        if entry.type == .inet { return inetRole(of: entry, command: command) }
        if let transport = Self.transports[command], entry.type == .unix {
            report(.error, entry.options.problems, entry)
            return .transport(transport)
        }
        if Self.ownServices.contains(command) {
            skipped.append(entry.service)
            return .builtIn
        }
        report(.warning, ["the service \(entry.key) runs \(entry.command), which Postern does not start"], entry)
        return .builtIn
    }

    /// The one line about the services that need no process here, and an error when nothing is served.
    mutating func summarize() {
        if !skipped.isEmpty {
            diagnostics.append(Diagnostic(.note, "master.cf services whose work Postern does itself: \(skipped.joined(separator: " "))"))
        }
        if listeners.isEmpty {
            diagnostics.append(Diagnostic(.error, "master.cf has no smtpd service of type inet: there is nothing to serve"))
        }
    }

    private mutating func inetRole(of entry: MasterEntry, command: String) -> MasterService.Role? {
        guard command == "smtpd" || command == "postscreen" else {
            report(.error, ["\(entry.service) runs \(entry.command): only smtpd can be served on an inet line"], entry)
            return nil
        }
        if command == "postscreen" { report(.note, ["postscreen is served as smtpd; its tests are not run"], entry) }
        let options = entry.options
        report(.error, options.problems, entry)
        if let word = options.rest.first {
            report(.error, ["\"\(word)\" is not an option; write -o name=value without spaces, or -o { name = value }"], entry)
        }
        let addresses = listenAddresses(entry)
        for address in addresses {
            if let other = listeners.first(where: { $0.address.collides(with: address) }) {
                report(.error, ["\(address) is already taken by \(other.address) at \(other.location)"], entry)
            }
            listeners.append((address, entry.location))
        }
        return .smtpd(addresses)
    }

    private mutating func listenAddresses(_ entry: MasterEntry) -> [ListenAddress] {
        let (host, portName) = Self.split(service: entry.service)
        guard let port = ports.port(portName) else {
            report(.error, ["\"\(portName)\" is not a port number, nor a name in known_tcp_ports or /etc/services"], entry)
            return []
        }
        guard let host else { return own.listen.map { ListenAddress(address: $0, port: port) } }
        let found = OwnAddresses.addresses(of: host, environment: environment)
        let used = found.filter(own.isUsed)
        if used.isEmpty {
            let message = found.isEmpty ? "\(host) has no address" : "inet_protocols excludes the address of \(host)"
            report(.error, [message], entry)
        }
        return used.map { ListenAddress(address: $0, port: port) }
    }

    /// `port`, `host:port` or `[v6]:port`; an empty host is none.
    static func split(service: String) -> (host: String?, port: String) {
        guard let colon = service.lastIndex(of: ":") else { return (nil, service) }
        let host = String(service[..<colon])
        return (host.isEmpty ? nil : host, String(service[service.index(after: colon)...]))
    }

    /// `master_service_disable`: service types and `name/type`, the first match decides, `!` excludes.
    private func isDisabled(_ entry: MasterEntry) -> Bool {
        for element in main.list("master_service_disable") {
            let pattern = element.drop { $0 == "!" }
            guard pattern == entry.type.rawValue || pattern == entry.key else { continue }
            return (element.count - pattern.count) % 2 == 0
        }
        return false
    }

    private mutating func report(_ severity: Diagnostic.Severity, _ messages: [String], _ entry: MasterEntry) {
        diagnostics += messages.map { Diagnostic(severity, $0, at: entry.location) }
    }

    private static let transports: [String: MasterService.Transport] = Dictionary(
        uniqueKeysWithValues: MasterService.Transport.allCases.map { ($0.rawValue, $0) }
    )

    private static let ownServices: Set<String> = [
        "anvil", "bounce", "cleanup", "dnsblog", "flush", "master", "nqmgr", "oqmgr", "pickup", "postlogd", "proxymap", "qmgr", "scache",
        "showq", "smtpd", "spawn", "tlsmgr", "tlsproxy", "trivial-rewrite", "verify",
    ]
}

extension ListenAddress {
    /// Whether both cannot be bound at once.
    fileprivate func collides(with other: ListenAddress) -> Bool {
        port == other.port && address.bitWidth == other.address.bitWidth && (address == other.address || isWildcard || other.isWildcard)
    }
}
