import ArgumentParser

@main
struct Postern: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "postern",
        abstract: "An SMTP submission server that reads Postfix's own configuration.",
        subcommands: [
            CertCommand.self
        ]
    )
}
