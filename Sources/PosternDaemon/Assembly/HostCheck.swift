import Glibc
import MailLog
import Routing
import Settings

/// What `check` finds wrong with this machine rather than with the configuration: users, directories, ports, other servers.
enum HostCheck {
    static func diagnostics(_ configuration: Configuration) -> [Diagnostic] {
        owners(configuration.main) + configurationFiles(configuration) + log(configuration.main) + queue(configuration)
            + ports(configuration) + libraries(configuration.main)
    }

    private static func libraries(_ main: ServiceSettings) -> [Diagnostic] {
        guard main.bool("smtputf8_enable"), !DomainEncoder.isAvailable else { return [] }
        let location = main.location(of: "smtputf8_enable")
        return [Diagnostic(.error, "smtputf8_enable = yes: the ICU library lacks its data of domain names", at: location)]
    }

    private static func owners(_ main: ServiceSettings) -> [Diagnostic] {
        guard Account.isRoot else { return [] }
        return ["mail_owner", "smtpd_owner"].compactMap { parameter in
            let name = main.text(parameter)
            let mayBeEmpty = parameter == "smtpd_owner" && name.isEmpty
            guard !mayBeEmpty else { return nil }
            guard let account = Account(named: name) else {
                return Diagnostic(.error, "\(parameter) = \(name): no such user", at: main.location(of: parameter))
            }
            guard account.userID != 0 else {
                return Diagnostic(.error, "\(parameter) = \(name): must not be root", at: main.location(of: parameter))
            }
            return nil
        }
    }

    /// Who can write the configuration of a server that starts as root is root.
    private static func configurationFiles(_ configuration: Configuration) -> [Diagnostic] {
        guard Account.isRoot else { return [] }
        let directory = configuration.directory
        return [directory, "\(directory)/main.cf", "\(directory)/master.cf"].compactMap { path in
            guard let mode = Directories.mode(path), mode & 0o002 != 0 else { return nil }
            return Diagnostic(.error, "\(path) can be written by everybody: see that nothing foreign is in it, then: chmod o-w \(path)")
        }
    }

    private static func log(_ main: ServiceSettings) -> [Diagnostic] {
        guard case .file(let path) = LogDestination(main) else { return [] }
        let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        guard unsafe access(directory.isEmpty ? "/" : directory, W_OK) != 0 else { return [] }
        return [
            Diagnostic(.error, "maillog_file = \(path): cannot write there: \(errorText(errno))", at: main.location(of: "maillog_file"))
        ]
    }

    /// The directories below `queue_directory`, and who else lives on them.
    private static func queue(_ configuration: Configuration) -> [Diagnostic] {
        let main = configuration.main
        let queueDirectory = main.text("queue_directory")
        let location = main.location(of: "queue_directory")
        guard let owner = try? Account.owner(main) else { return [] }
        let finding = Directories.examineQueue(queueDirectory, owner: owner)
        var found = finding.refusals.map { Diagnostic(.error, $0, at: location) }
        found += finding.mended.map { Diagnostic(.warning, "\($0) (a start mends this)", at: location) }
        let conflict = QueueOwnership.conflict(
            queueDirectory: queueDirectory,
            configurationDirectory: configuration.directory,
            starting: false
        )
        if let conflict { found.append(Diagnostic(.error, conflict, at: location)) }
        return found
    }

    /// Binds each address, unless our own server is what occupies them.
    private static func ports(_ configuration: Configuration) -> [Diagnostic] {
        guard PIDFile.runningProcess(queueDirectory: configuration.main.text("queue_directory")) == nil else { return [] }
        var found: [Diagnostic] = []
        var bound: [ListenSocket] = []
        var passed = PassedSockets.atStart
        for service in configuration.smtpdServices {
            for endpoint in service.endpoints {
                if passed.take(endpoint.address, endpoint.port) != nil { continue }
                do {
                    // Kept until all are tried: two lines may want the same port.
                    bound.append(try ListenSocket(service: service.name, address: endpoint.address, port: endpoint.port))
                } catch {
                    found.append(Diagnostic(.error, "\(error)", at: service.location))
                }
            }
        }
        for socket in bound { close(socket.descriptor) }
        return found
    }
}
