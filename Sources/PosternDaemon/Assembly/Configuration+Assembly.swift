package import SMTPCore
package import Settings

extension MasterService {
    /// Where an smtpd service listens; empty for other services.
    var endpoints: [ListenAddress] { if case .smtpd(let addresses) = role { addresses } else { [] } }

    var location: SourceLocation { entry.location }
}

extension Configuration {
    /// The addresses this host receives mail at (`inet_interfaces`): `user@[ip]` is local for them, and a next hop among them is a loop.
    package var ownAddresses: [IPAddress] {
        let all = facts.interfaces.map(\.address)
        var own: [IPAddress] = []
        for word in main.list("inet_interfaces") {
            switch word {
            case "all": own += all
            case "loopback-only": own += all.filter(\.isLoopback)
            default:
                let text = word.hasPrefix("[") ? word.dropFirst().dropLast() : word[...]
                if let address = IPAddress(text) { own.append(address) }
            }
        }
        return own
    }
}

/// Which directory a command reads.
package enum ConfigurationDirectory {
    /// What `-c` says, made absolute by the loader; else the first of /etc/postern and /etc/postfix that has a main.cf.
    package static func resolve(_ option: String?) -> String {
        option.map(Directories.absolute) ?? Configuration.defaultDirectory(environment: SystemEnvironment.current())
    }
}
