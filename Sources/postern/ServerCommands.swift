import ArgumentParser
import PosternDaemon

/// `postern start`: checks, binds, serves.
struct StartCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "start", abstract: "Serve what master.cf says.")

    @OptionGroup var config: ConfigurationOption
    @Flag(name: .long, help: "Stay in the foreground; without it the server detaches once it serves.")
    var foreground = false
    @Flag(name: .long, help: .hidden)
    var notify = false
    @Flag(name: .long, help: "Only make and mend the directories below queue_directory, then end.")
    var prepare = false

    @Option(name: .long, help: ArgumentHelp("Go on with the state at this descriptor.", visibility: .hidden))
    var resume: Int32?

    func run() throws {
        if let resume { throw ExitCode(ServerStart.resume(configurationDirectory: config.resolved, state: resume)) }
        if prepare { throw ExitCode(ServerStart.prepare(configurationDirectory: config.resolved)) }
        let status =
            foreground
            ? ServerStart.run(configurationDirectory: config.resolved, notify: notify)
            : ServerStart.detach(configurationDirectory: config.resolved)
        throw ExitCode(status)
    }
}

/// `postern stop`: sessions finish what they are in, then everything ends.
struct StopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        abstract: "End the server; sessions finish the message they are in."
    )

    @OptionGroup var config: ConfigurationOption

    func run() throws { throw ExitCode(RunningServer.stop(configurationDirectory: config.resolved)) }
}

/// `postern status`: whether it runs, and what the queue holds.
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show generations, sessions, workers, certificates, files watched, the last reload and the queue."
    )

    @OptionGroup var config: ConfigurationOption
    @Flag(name: .long, help: "One JSON object.")
    var json = false

    func run() throws { throw ExitCode(RunningServer.status(configurationDirectory: config.resolved, json: json)) }
}

/// `postern reload`: a new generation with the configuration as it is now.
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Serve the configuration as it is now; if it cannot be served, say why and go on with the old one."
    )

    @OptionGroup var config: ConfigurationOption

    func run() throws { throw ExitCode(RunningServer.reload(configurationDirectory: config.resolved)) }
}

/// `postern upgrade`: the program that was installed over the running one takes its place.
struct UpgradeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade",
        abstract: "Let the program that has been installed in place of the running one take over, without closing a socket."
    )

    @OptionGroup var config: ConfigurationOption

    func run() throws { throw ExitCode(RunningServer.upgrade(configurationDirectory: config.resolved)) }
}

/// `postern logrotate`: reopens the log file after a rotation.
struct LogrotateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "logrotate", abstract: "Reopen maillog_file after it has been renamed.")

    @OptionGroup var config: ConfigurationOption

    func run() throws { throw ExitCode(RunningServer.reopenLog(configurationDirectory: config.resolved)) }
}

/// `postern check`: every problem in one run.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Print every problem of the configuration as file:line: message; exit 0 only if a start would succeed."
    )

    @OptionGroup var config: ConfigurationOption
    @Flag(name: .long, help: "Print notes, too: parameters that are accepted and have no effect here.")
    var verbose = false
    @Flag(name: .long, help: "Look at the running server instead: crash loops, a failed reload, expired certificates.")
    var live = false

    func run() throws {
        if live { throw ExitCode(RunningServer.checkLive(configurationDirectory: config.resolved)) }
        let check = StartupCheck(configurationDirectory: config.resolved)
        for finding in check.report(verbose: verbose) { print(finding) }
        throw ExitCode(check.passes ? 0 : 1)
    }
}

/// How the supervisor starts a role; not for people.
struct RoleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "role",
        abstract: "Run one role (started by the supervisor).",
        shouldDisplay: false
    )

    @OptionGroup var config: ConfigurationOption
    @Argument var role: String
    @Flag(name: .long, help: "Confine this process as the role is, then say what it can still do.")
    var probe = false
    @Argument(help: "With --probe: files and directories to try to open.")
    var paths: [String] = []

    @Option(name: .long, help: "For the plan role: the descriptor of a state that would have to be taken over.")
    var state: Int32?

    func run() throws {
        guard let role = Role(argument: role) else { throw ValidationError("no such role") }
        if probe { throw ExitCode(RoleProbe.run(role, configurationDirectory: config.resolved, paths: paths)) }
        throw ExitCode(RoleMain.run(role, configurationDirectory: config.resolved, state: state))
    }
}
