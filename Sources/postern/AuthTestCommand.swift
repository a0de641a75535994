import ArgumentParser
import Authentication
import PosternDaemon
import Settings

/// `postern auth-test`: one login over the true path, with the reason for each failure.
struct AuthTestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "auth-test",
        abstract: "Try a login by each mechanism as a mail program would, and say why it fails.",
        discussion:
            "Started as root it becomes mail_owner first, so that it sees the permissions the server sees. Exit status 0 if a login succeeded."
    )

    @OptionGroup var sasl: SASLOptions
    @Option(help: "Only this mechanism.") var mechanism: String?
    @Flag(help: "As in a session without TLS: smtpd_sasl_security_options instead of smtpd_sasl_tls_security_options.") var plain = false
    @Flag(name: .short, help: "Read the password from standard input instead of asking for it.") var pipe = false
    @Argument(help: "The login name, as a mail program would send it.") var user: String

    func run() throws {
        let service = try sasl.load()
        let settings = service.settings
        if !settings.bool("smtpd_sasl_auth_enable") { complain("warning: smtpd_sasl_auth_enable is not set for \(service.name)") }
        let configuration = try AuthClientConfiguration(parameter: settings.text)
        let (backEnd, offered) = try open(service)
        let options = plain ? configuration.securityOptions : configuration.tlsSecurityOptions
        let announced = offered.filter {
            !$0.flags.contains(.private) && $0.isAllowed(by: options) && configuration.mechanismFilter.accepts($0.name)
        }
        report(service, offered: offered, announced: announced, options: options)
        let chosen = announced.map(\.name).filter { mechanism == nil || $0 == mechanism?.uppercased() }
        guard !chosen.isEmpty else {
            complain("no mechanism to try: \(mechanism ?? "all") is not announced\(plain ? " without TLS" : "")")
            throw ExitCode.failure
        }
        let secret = pipe ? try PasswordPrompt.standardInputLine() : try PasswordPrompt.ask("Password for \(user): ")
        // Plug-ins are loaded and the terminal is read: from here on with the server's rights.
        if Account.isRoot, let account = Account(named: settings.text("mail_owner")) { try account.become() }
        let password = String(decoding: secret.bytes, as: UTF8.self)
        var succeeded = false
        for name in chosen {
            let attempt = AuthTest.login(
                backEnd,
                configuration: configuration,
                mechanism: name,
                user: user,
                password: password,
                tlsActive: !plain
            )
            for line in attempt.log { print("  log: warning: \(line)") }
            print("\(name): \(Self.verdict(attempt.step))")
            if case .success = attempt.step { succeeded = true }
        }
        if case .cyrus(let profile) = backEnd {
            for problem in SASLBackEndProbe.problems(profile) { print("problem: \(problem.log)\n  to mend it: \(problem.advice)") }
        }
        if !succeeded { throw ExitCode.failure }
    }

    private func open(_ service: SASLService) throws -> (AuthTest.BackEnd, [AuthMechanism]) {
        if service.settings.text("smtpd_sasl_type") == "dovecot" {
            let socket = try DovecotSocket(
                parsing: service.settings.text("smtpd_sasl_path"),
                queueDirectory: service.settings.text("queue_directory")
            )
            return (.dovecot(socket), try AuthTest.dovecotMechanisms(socket))
        }
        return (.cyrus(service.profile), try CyrusWorker.prepare(service.profile))
    }

    private func report(_ service: SASLService, offered: [AuthMechanism], announced: [AuthMechanism], options: SASLSecurityOptions) {
        print("service: \(service.name.isEmpty ? "(main.cf)" : service.name)")
        if service.settings.text("smtpd_sasl_type") == "dovecot" {
            print("back end: Dovecot at \(service.settings.text("smtpd_sasl_path"))")
        } else if let file = service.profile.configurationFile() {
            print("back end: libsasl2 with \(file.path), pwcheck_method: \(file.passwordMethods.joined(separator: " "))")
            if file.usesSaslauthd { print("saslauthd: \(file.saslauthdPath)") }
            if file.usesSasldb { print("sasldb: \(service.profile.sasldbPath)") }
        } else {
            let name = "\(service.profile.application).conf"
            print("back end: libsasl2 with its defaults (no \(name) in \(service.profile.searchPath.joined(separator: ", ")))")
            print("sasldb: \(service.profile.sasldbPath)")
        }
        print("mechanisms: \(offered.map(\.name).joined(separator: " "))")
        print("announced \(plain ? "without" : "with") TLS (\(options.text)): \(announced.map(\.name).joined(separator: " "))")
    }

    private static func verdict(_ step: AuthenticationStep) -> String {
        switch step {
        case .success(let username): "235 accepted, logged as sasl_username=\(username)"
        case .rejected(let reason, let username): "535 refused: \(reason)\(username.map { " (seen as \($0))" } ?? "")"
        case .unavailable(let reason, let username): "454 back end trouble: \(reason)\(username.map { " (seen as \($0))" } ?? "")"
        case .challenge: "gave up: the back end never came to an end"
        }
    }
}
