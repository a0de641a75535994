import ArgumentParser
import Dispatch
import Glibc
import LoopTask
import NIOPosix
import PosternDaemon
import Synchronization

/// Commands run on the main thread, so that the supervisor's signal mask holds for every thread made later; those that must wait for async
/// work do it on an event loop while the main thread waits for them.
@main
enum Main {
    static func main() {
        do {
            let command = try Postern.parseAsRoot()
            if let waiting = command as? any AsyncParsableCommand {
                try run(waiting)
            } else {
                var command = command
                try command.run()
            }
        } catch {
            Postern.exit(withError: error)
        }
    }

    /// A command that moves to the loop whole: the main thread does not touch it again.
    private final class Passage: @unchecked Sendable {
        private var command: any AsyncParsableCommand

        init(_ command: any AsyncParsableCommand) { self.command = command }

        func run() async throws { try await command.run() }
    }

    private static func run(_ command: any AsyncParsableCommand) throws {
        let passage = Passage(command)
        let outcome = Mutex<(any Error)?>(nil)
        let done = DispatchSemaphore(value: 0)
        @Sendable func work() async {
            do { try await passage.run() } catch { outcome.withLock { $0 = error } }
            done.signal()
        }
        startLoopTask(on: LoopExecutor(MultiThreadedEventLoopGroup.singleton.next()), work)
        done.wait()
        if let error = outcome.withLock({ $0 }) { throw error }
    }
}

struct Postern: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "postern",
        abstract: "An SMTP submission server that reads Postfix's own configuration.",
        version: PosternVersion.text,
        subcommands: [
            StartCommand.self, StopCommand.self, ReloadCommand.self, UpgradeCommand.self, StatusCommand.self, LogrotateCommand.self,
            CheckCommand.self, ConfCommand.self,
            QueueCommand.self, ExplainCommand.self, AuthTestCommand.self, UserCommand.self, MapCommand.self, CertCommand.self,
            SinkCommand.self, RoleCommand.self,
        ]
    )
}

/// `-c DIR`, common to all commands that read a configuration.
struct ConfigurationOption: ParsableArguments {
    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: "The directory of main.cf and master.cf (default: /etc/postern, else /etc/postfix)."
    )
    var directory: String?

    var resolved: String { ConfigurationDirectory.resolve(directory) }
}

/// Prints to standard error.
func complain(_ text: String) {
    var line = Array((text + "\n").utf8)
    _ = unsafe line.withUnsafeMutableBytes { unsafe write(2, $0.baseAddress, $0.count) }
}
