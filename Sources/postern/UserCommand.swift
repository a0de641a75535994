import ArgumentParser
import Authentication
import Settings

/// `postern user`: the accounts in the sasldb that smtpd.conf names.
struct UserCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user",
        abstract: "Add, delete and list the accounts in sasldb2.",
        subcommands: [Add.self, Delete.self, List.self]
    )

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Create an account, or change its password.")
        @OptionGroup var sasl: SASLOptions
        @Option(help: "The realm; without it the part after @ of NAME, else smtpd_sasl_local_domain, else myhostname.")
        var realm: String?
        @Flag(name: .short, help: "Read the password from standard input instead of asking for it.")
        var pipe = false
        @Argument var name: String

        func run() throws {
            let service = try sasl.load().cyrusService()
            try service.requireSasldb()
            let account = service.account(name, realm: realm)
            try CyrusWorker.prepare(service.profile)
            let password =
                pipe ? try PasswordPrompt.standardInputLine() : try PasswordPrompt.askTwice(for: "\(account.name)@\(account.realm)")
            try SASLAccounts.setPassword(
                password,
                name: account.name,
                realm: account.realm,
                reader: service.settings.text("mail_owner"),
                profile: service.profile
            )
            print("\(account.name)@\(account.realm): password set in \(service.profile.sasldbPath)")
            service.warnIfNotConsulted()
        }
    }

    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Delete an account.")
        @OptionGroup var sasl: SASLOptions
        @Option(help: "The realm, as for add.") var realm: String?
        @Argument var name: String

        func run() throws {
            let service = try sasl.load().cyrusService()
            let account = service.account(name, realm: realm)
            try CyrusWorker.prepare(service.profile)
            try SASLAccounts.delete(name: account.name, realm: account.realm, profile: service.profile)
            print("\(account.name)@\(account.realm): deleted from \(service.profile.sasldbPath)")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the accounts as name@realm.")
        @OptionGroup var sasl: SASLOptions
        @Option(help: "Only this realm.") var realm: String?

        func run() throws {
            let service = try sasl.load().cyrusService()
            for account in try SASLDatabaseFile.accounts(path: service.profile.sasldbPath) where realm == nil || account.realm == realm {
                print("\(account.name)@\(account.realm)")
            }
        }
    }
}

/// `-c` and `--service`, and the SASL side of the configuration they lead to.
struct SASLOptions: ParsableArguments {
    @OptionGroup var configuration: ConfigurationOption

    @Option(help: "The service of master.cf whose parameters count, such as submission; without it the first that has AUTH enabled.")
    var service: String?

    func load() throws -> SASLService {
        let place = configuration.resolved
        let (configuration, diagnostics) = Configuration.load(directory: place)
        guard let configuration else {
            for diagnostic in diagnostics where diagnostic.severity == .error { complain("\(diagnostic)") }
            throw ExitCode.failure
        }
        let services = configuration.smtpdServices
        if let service {
            guard let found = services.first(where: { $0.name == service || $0.name.hasSuffix(":\(service)") || $0.listens(on: service) })
            else {
                throw ValidationError(
                    "\(place)/master.cf has no smtpd service \(service); there are: \(services.map(\.name).joined(separator: ", "))"
                )
            }
            return SASLService(name: found.name, settings: found.settings, isChrooted: found.chroot)
        }
        let found = services.first { $0.settings.bool("smtpd_sasl_auth_enable") } ?? services.first
        return SASLService(name: found?.name ?? "", settings: found?.settings ?? configuration.main, isChrooted: found?.chroot ?? false)
    }
}

extension MasterService {
    /// Whether `text` is a port of this smtpd service.
    func listens(on text: String) -> Bool {
        guard case .smtpd(let addresses) = role, let port = UInt16(text) else { return false }
        return addresses.contains { $0.port == port }
    }
}

/// What one service of master.cf says about SASL.
struct SASLService {
    var name: String
    var settings: ServiceSettings
    var isChrooted: Bool

    var profile: CyrusProfile { CyrusProfile(parameter: settings.text, isChrooted: isChrooted) }

    /// This service, if its accounts are libsasl2's business.
    func cyrusService() throws -> SASLService {
        if settings.text("smtpd_sasl_type") == "dovecot" {
            throw ValidationError("smtpd_sasl_type = dovecot: the accounts are Dovecot's, not sasldb's")
        }
        return self
    }

    /// Name and realm as libsasl2 will look for them when the client gives `name`.
    func account(_ name: String, realm: String?) -> SASLDatabaseFile.Account {
        if let realm { return .init(name: name, realm: realm) }
        if let at = name.lastIndex(of: "@"), at > name.startIndex, name.index(after: at) < name.endIndex {
            return .init(name: String(name[..<at]), realm: String(name[name.index(after: at)...]))
        }
        let domain = settings.text("smtpd_sasl_local_domain")
        return .init(name: name, realm: domain.isEmpty ? settings.text("myhostname") : domain)
    }

    /// An account that no login would ever be compared with is a mistake.
    func requireSasldb() throws {
        guard let file = profile.configurationFile(), !file.usesSasldb else { return }
        let words = [("pwcheck_method", file.passwordMethods), ("auxprop_plugin", file.auxiliaryPlugins)]
        let reason = words.filter { !$0.1.isEmpty }.map { "\($0.0): \($0.1.joined(separator: " "))" }.joined(separator: ", ")
        throw ValidationError("\(file.path) says \(reason): accounts in sasldb would not be consulted")
    }

    func warnIfNotConsulted() {
        guard let file = profile.configurationFile(), !file.passwordMethods.contains("auxprop") else { return }
        complain(
            "warning: \(file.path) says pwcheck_method: \(file.passwordMethods.joined(separator: " ")); "
                + "PLAIN and LOGIN do not consult sasldb, only mechanisms such as CRAM-MD5 do"
        )
    }
}
