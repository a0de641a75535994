import ArgumentParser
import PosternDaemon
import SMTPCore
import Spool

/// `postern queue`: what mailq, postqueue, postcat and postsuper do, with the server up or down.
struct QueueCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue",
        abstract: "List, show, flush, hold, release, requeue, delete, export or verify queued messages.",
        subcommands: [
            List.self, Show.self, Flush.self, Hold.self, Release.self, Requeue.self, Delete.self, Export.self, Verify.self, Status.self,
        ],
        defaultSubcommand: List.self
    )

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the queue as mailq does.")
        @OptionGroup var config: ConfigurationOption
        @Flag(name: .long, help: "One JSON object a line, as postqueue -j.") var json = false

        func run() throws { try QueueCommand.ask(.list(json: json), config) }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the envelope and content of one message.")
        @OptionGroup var config: ConfigurationOption
        @Argument(help: "A queue id.") var id: String

        func run() throws { try QueueCommand.ask(.show(try QueueCommand.queueID(id)), config) }
    }

    struct Export: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print a message byte for byte, its envelope as X-Envelope- lines before it.",
            discussion: "Also what is left of a damaged one: an X-Postern-Damage line then says what is wrong, and the exit status is 1."
        )
        @OptionGroup var config: ConfigurationOption
        @Argument(help: "A queue id.") var id: String

        func run() throws { try QueueCommand.ask(.export(try QueueCommand.queueID(id)), config) }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read every record and all content, and compare the checksums.",
            discussion: "The exit status is 1 if anything is damaged that has not been acknowledged."
        )
        @OptionGroup var config: ConfigurationOption
        @Flag(name: .long, help: "One JSON object.") var json = false
        @Flag(
            name: .long,
            help:
                "Note in the queue that all the damage found is known: it no longer counts as a problem, other damage does. Nothing is given up."
        )
        var acknowledge = false

        func run() throws { try QueueCommand.ask(acknowledge ? .acknowledge(json: json) : .verify(json: json), config) }
    }

    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the state of the queue in numbers.",
            discussion: "The exit status is 1 while part of the queue is damaged and that has not been acknowledged."
        )
        @OptionGroup var config: ConfigurationOption

        func run() throws { try QueueCommand.ask(.status, config) }
    }

    /// What the commands that change messages have in common.
    struct Target: ParsableArguments {
        @OptionGroup var config: ConfigurationOption
        @Argument(help: "A queue id, or ALL.") var id: String

        func perform(_ operation: QueueOperation) throws {
            let selection: QueueSelection = id == "ALL" ? .all : .message(try QueueCommand.queueID(id))
            try QueueCommand.ask(.perform(operation, selection), config)
        }
    }

    struct Flush: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Try deferred messages at once.")
        @OptionGroup var config: ConfigurationOption
        @Argument(help: "A queue id, or ALL.") var id = "ALL"

        func run() throws {
            let selection: QueueSelection = id == "ALL" ? .all : .message(try QueueCommand.queueID(id))
            try QueueCommand.ask(.perform(.flush, selection), config)
        }
    }

    struct Hold: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Keep messages from being delivered.")
        @OptionGroup var target: Target
        func run() throws { try target.perform(.hold) }
    }

    struct Release: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "End a hold.")
        @OptionGroup var target: Target
        func run() throws { try target.perform(.release) }
    }

    struct Requeue: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "End a hold, forget the back-off and try at once.")
        @OptionGroup var target: Target
        func run() throws { try target.perform(.requeue) }
    }

    struct Delete: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove messages without a bounce.")
        @OptionGroup var target: Target
        func run() throws { try target.perform(.delete) }
    }

    private static func queueID(_ text: String) throws -> QueueID {
        guard let id = QueueID(text) else { throw ValidationError("\(text) is not a queue id") }
        return id
    }

    private static func ask(_ request: QueueRequest, _ config: ConfigurationOption) throws {
        throw ExitCode(QueueAccess.run(request, configurationDirectory: config.resolved))
    }
}
