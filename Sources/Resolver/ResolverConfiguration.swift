package import SMTPCore

/// What the resolver knows before it asks: name servers and hosts. Read once, before a role gives up its rights (design, section 2).
package struct ResolverConfiguration: Sendable, Hashable {
    package struct Server: Sendable, Hashable, CustomStringConvertible {
        package var address: IPAddress
        package var port: Int

        package init(_ address: IPAddress, port: Int = 53) {
            self.address = address
            self.port = port
        }

        package var description: String { port == 53 ? "\(address)" : "[\(address)]:\(port)" }
    }

    /// In order of preference, one to three.
    package var servers = [Server(.v4(0x7F00_0001))]
    /// `options timeout:`, the longest wait for one server's answer, in seconds; 1 to 30.
    package var timeout = 5
    /// `options attempts:`, how often each server is asked; 1 to 5.
    package var attempts = 2
    /// `options rotate`: begin with another server each time.
    package var rotates = false
    /// `options use-vc`: ask over TCP only.
    package var usesTCPOnly = false
    package var hosts = HostsFile()

    package init() {}

    /// Parses resolv.conf(5). `search`, `domain`, `ndots` and `sortlist` have no effect: names are taken as absolute. Without a usable
    /// `nameserver` line the server is 127.0.0.1, as in the C library. Lines that cannot be used are returned as warnings.
    package init(parsing text: String, warnings: inout [String]) {
        var found: [Server] = []
        for (index, line) in text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            guard let first = line.first, first != UInt8(ascii: "#"), first != UInt8(ascii: ";") else { continue }
            let words = line.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }.compactMap { String(Substring($0)) }
            switch words.first {
            case "nameserver":
                guard words.count > 1, let address = IPAddress(words[1]) else {
                    warnings.append(
                        "line \(index + 1): not an address we can use as a name server: \(words.dropFirst().joined(separator: " "))"
                    )
                    continue
                }
                if found.count < 3 { found.append(Server(address)) }
            case "options": for option in words.dropFirst() { apply(option) }
            default: continue
            }
        }
        if !found.isEmpty { servers = found }
    }

    private mutating func apply(_ option: String) {
        let parts = option.split(separator: ":", maxSplits: 1)
        let value = parts.count == 2 ? Int(parts[1]) : nil
        switch (parts.first, value) {
        case ("timeout", let value?): timeout = min(max(value, 1), 30)
        case ("attempts", let value?): attempts = min(max(value, 1), 5)
        case ("rotate", _): rotates = true
        case ("use-vc", _): usesTCPOnly = true
        default: break
        }
    }

    /// Reads the system's files. Blocks; meant for start-up. A file that does not exist counts as empty.
    package static func read(
        resolvConf: String = "/etc/resolv.conf",
        hosts: String = "/etc/hosts",
        warnings: inout [String]
    ) throws(ResolverConfigurationError) -> ResolverConfiguration {
        var found: [String] = []
        var configuration = ResolverConfiguration(parsing: try FileText.read(resolvConf), warnings: &found)
        warnings += found.map { "\(resolvConf): \($0)" }
        configuration.hosts = HostsFile(parsing: try FileText.read(hosts))
        return configuration
    }
}

/// A file of the system's that exists but could not be read.
package struct ResolverConfigurationError: Error, Sendable, CustomStringConvertible {
    package var path: String
    package var reason: String

    package var description: String { "\(path): \(reason)" }
}
