import ArgumentParser
import Sink
import TLS

/// `postern sink`: a downstream MTA for trying things out.
struct SinkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sink",
        abstract: "A small downstream MTA that takes every message, and prints or stores it. Ends on SIGINT or SIGTERM."
    )

    @Option(help: ArgumentHelp("Where to listen: ADDRESS:PORT, [IPv6]:PORT, PORT (on 127.0.0.1) or unix:/PATH.", valueName: "where"))
    var listen = "127.0.0.1:2526"

    @Option(help: "The host name in the greeting.")
    var hostname = "sink.localhost"

    @Flag(help: "Speak LMTP, with a reply for each recipient.")
    var lmtp = false

    @Option(help: ArgumentHelp("Store each message as a file in this directory instead of printing it.", valueName: "dir"))
    var store: String?

    @Flag(help: "Print no messages.")
    var quiet = false

    @Flag(help: "Print the number of messages, each second in which it changes, and at the end.")
    var count = false

    @Option(help: ArgumentHelp("Offer STARTTLS with this certificate (PEM); needs --key.", valueName: "file"))
    var cert: String?

    @Option(help: ArgumentHelp("The key of --cert (PEM).", valueName: "file"))
    var key: String?

    @Flag(help: "TLS from the first byte (as on port 465) instead of STARTTLS.")
    var tlsWrapper = false

    @Flag(help: "Refuse MAIL without TLS.")
    var requireTLS = false

    @Option(help: ArgumentHelp("Offer AUTH PLAIN and take mail only after it.", valueName: "user:password"))
    var auth: String?

    @Option(help: "The largest message taken, in bytes.")
    var sizeLimit = 64 << 20

    @Flag(help: "Do not offer PIPELINING.")
    var noPipelining = false

    @Option(
        help: ArgumentHelp(
            "Misbehave: STAGE=CODE[ TEXT]|hang|drop[:every N|:first N], with STAGE one of connect, ehlo, starttls, auth, mail, rcpt, data, body, "
                + "dot, quit. May be given several times.",
            valueName: "fault"
        )
    )
    var fail: [String] = []

    @Option(help: "Number of threads.")
    var threads = 1

    func validate() throws {
        guard SinkEndpoint(listen) != nil else { throw ValidationError("--listen: not an address and port: \(listen)") }
        guard (cert == nil) == (key == nil) else { throw ValidationError("--cert and --key go together") }
        guard cert != nil || !(tlsWrapper || requireTLS) else { throw ValidationError("TLS needs --cert and --key") }
        guard auth?.contains(":") != false else { throw ValidationError("--auth: USER:PASSWORD is wanted") }
        guard (1...64).contains(threads) else { throw ValidationError("--threads must be from 1 to 64") }
        guard sizeLimit > 0 else { throw ValidationError("--size-limit must be positive") }
        for text in fail where SinkFault(text) == nil { throw ValidationError("--fail: not understood: \(text)") }
    }

    func run() throws {
        let output: SinkRun.Output = if let store { .store(directory: store) } else if quiet { .none } else { .print }
        try SinkRun(configuration: try sinkConfiguration(), output: output, showsCount: count, threads: threads).untilTerminated()
    }

    private func sinkConfiguration() throws -> SinkConfiguration {
        var configuration = SinkConfiguration()
        configuration.endpoint = SinkEndpoint(listen) ?? .loopback
        configuration.hostName = hostname
        configuration.isLMTP = lmtp
        configuration.offersPipelining = !noPipelining
        configuration.sizeLimit = sizeLimit
        configuration.isTLSWrapper = tlsWrapper
        configuration.requiresTLS = requireTLS
        configuration.faults = fail.compactMap { SinkFault($0) }
        configuration.keepsMessages = false
        if let cert, let key {
            var tls = TLSServerConfiguration()
            tls.pair = TLSKeyPair(certificateFile: cert, keyFile: key)
            configuration.tls = try TLSContext.server(tls)
        }
        if let auth, let colon = auth.firstIndex(of: ":") {
            configuration.credential = SinkCredential(user: String(auth[..<colon]), password: String(auth[auth.index(after: colon)...]))
        }
        return configuration
    }
}
