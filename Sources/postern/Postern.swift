import ArgumentParser
import Glibc
import PosternDaemon

@main
struct Postern: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "postern",
        abstract: "An SMTP submission server that reads Postfix's own configuration.",
        version: PosternVersion.text,
        subcommands: [
            StartCommand.self, StopCommand.self, StatusCommand.self, LogrotateCommand.self, CheckCommand.self, QueueCommand.self, MapCommand.self,
            CertCommand.self, ConfCommand.self, UserCommand.self, AuthTestCommand.self, RoleCommand.self,
            SinkCommand.self,
        ]
    )
}

/// `-c DIR`, common to all commands that read a configuration.
struct ConfigurationOption: ParsableArguments {
    @Option(name: [.customShort("c"), .customLong("config")], help: "The directory of main.cf and master.cf (default: /etc/postern, else /etc/postfix).")
    var directory: String?

    var resolved: String { ConfigurationDirectory.resolve(directory) }
}

/// Prints to standard error.
func complain(_ text: String) {
    var line = Array((text + "\n").utf8)
    _ = unsafe line.withUnsafeMutableBytes { unsafe write(2, $0.baseAddress, $0.count) }
}
