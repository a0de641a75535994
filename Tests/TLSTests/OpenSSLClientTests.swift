import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import TLS

/// A line server for the real `openssl s_client`: greets, answers 250 to every line, 221 to QUIT, and starts TLS at STARTTLS.
private final class LineServer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let context: TLSContext
    let facts: NIOLockedValue<[TLSFacts]>
    let isWrapper: Bool
    var unread = ""

    init(context: TLSContext, isWrapper: Bool, facts: NIOLockedValue<[TLSFacts]>) {
        self.context = context
        self.isWrapper = isWrapper
        self.facts = facts
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case TLSEvent.handshakeCompleted(let facts) = event else { return }
        self.facts.append(facts)
        unread = ""
        if isWrapper { say(context, "220 mx.test.example ESMTP") }
    }

    func channelActive(context: ChannelHandlerContext) {
        if !isWrapper { say(context, "220 mx.test.example ESMTP") }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unread += String(buffer: unwrapInboundIn(data))
        while let end = unread.range(of: "\n") {
            let line = unread[..<end.lowerBound].trimmingCharacters(in: .whitespaces.union(.newlines)).uppercased()
            unread = String(unread[end.upperBound...])
            switch line {
            case "STARTTLS":
                say(context, "220 2.0.0 Ready to start TLS")
                unread = ""
                try? context.pipeline.syncOperations.addHandler(TLSHandler(context: self.context, role: .server), position: .first)
            case "QUIT":
                say(context, "221 2.0.0 Bye")
                context.close(promise: nil)
            case let line where line.hasPrefix("EHLO"): say(context, "250-mx.test.example\r\n250 STARTTLS")
            default: say(context, "250 2.0.0 Ok")
            }
        }
    }

    private func say(_ context: ChannelHandlerContext, _ line: String) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: line + "\r\n")), promise: nil)
    }
}

final class NIOLockedValue<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var stored: Value
    init(_ value: Value) { stored = value }
    var value: Value { lock.withLock { stored } }
}

extension NIOLockedValue {
    func append<Element>(_ element: Element) where Value == [Element] { lock.withLock { stored.append(element) } }
}

@Suite struct OpenSSLClientTests {
    let certificates: Certificates

    init() throws { certificates = try Certificates() }

    /// Runs `body` with a server on a port of its own, and returns the facts of all its handshakes.
    private func serve(_ context: TLSContext, wrapper: Bool, _ body: @Sendable (Int) throws -> Void) async throws -> [TLSFacts] {
        let facts = NIOLockedValue<[TLSFacts]>([])
        let group = MultiThreadedEventLoopGroup.singleton
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let server = LineServer(context: context, isWrapper: wrapper, facts: facts)
                    if wrapper {
                        try channel.pipeline.syncOperations.addHandler(TLSHandler(context: context, role: .server))
                    }
                    try channel.pipeline.syncOperations.addHandler(server)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(listener.localAddress?.port)
        let result = Result { try body(port) }
        try await listener.close()
        try result.get()
        return facts.value
    }

    private func client(_ port: Int, _ arguments: [String], expectSuccess: Bool = true) throws -> String {
        try openssl(
            ["s_client", "-connect", "127.0.0.1:\(port)", "-quiet"] + arguments,
            input: "NOOP\r\nQUIT\r\n",
            expectSuccess: expectSuccess
        )
    }

    struct Case: CustomTestStringConvertible {
        var kind: [String]
        var arguments: [String]
        /// What Postfix 3.7.11 logged for the same client and certificate.
        var summary: String
        var testDescription: String { (kind + arguments).joined(separator: " ") }
    }

    static let rsa = ["rsa:2048"]
    static let ec = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    static let tls13 = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange "

    @Test(arguments: [
        Case(
            kind: rsa,
            arguments: ["-tls1_3", "-groups", "X25519"],
            summary: tls13 + "X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"
        ),
        Case(
            kind: rsa,
            arguments: ["-tls1_3", "-groups", "X448"],
            summary: tls13 + "X448 server-signature RSA-PSS (2048 bits) server-digest SHA256"
        ),
        Case(
            kind: rsa,
            arguments: ["-tls1_3", "-groups", "P-256"],
            summary: tls13 + "ECDHE (prime256v1) server-signature RSA-PSS (2048 bits) server-digest SHA256"
        ),
        Case(
            kind: rsa,
            arguments: ["-tls1_3", "-groups", "P-384"],
            summary: tls13 + "ECDHE (secp384r1) server-signature RSA-PSS (2048 bits) server-digest SHA256"
        ),
        Case(
            kind: rsa,
            arguments: ["-tls1_3", "-groups", "P-521"],
            summary: tls13 + "ECDHE (secp521r1) server-signature RSA-PSS (2048 bits) server-digest SHA256"
        ),
        Case(kind: ec, arguments: ["-tls1_3"], summary: tls13 + "X25519 server-signature ECDSA (prime256v1) server-digest SHA256"),
        Case(
            kind: ec,
            arguments: ["-tls1_3", "-groups", "P-256"],
            summary: tls13 + "ECDHE (prime256v1) server-signature ECDSA (prime256v1) server-digest SHA256"
        ),
        Case(kind: ["ed25519"], arguments: ["-tls1_3"], summary: tls13 + "X25519 server-signature ED25519"),
        Case(kind: rsa, arguments: ["-tls1_2"], summary: "TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits)"),
        Case(
            kind: ec,
            arguments: ["-tls1_2", "-groups", "P-256"],
            summary: "TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)"
        ),
        Case(kind: ["ed25519"], arguments: ["-tls1_2"], summary: "TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)"),
        Case(
            kind: rsa,
            arguments: ["-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"],
            summary: "TLSv1.2 with cipher DHE-RSA-AES256-GCM-SHA384 (256/256 bits)"
        ),
        Case(
            kind: rsa,
            arguments: ["-tls1_2", "-cipher", "AES256-GCM-SHA384"],
            summary: "TLSv1.2 with cipher AES256-GCM-SHA384 (256/256 bits)"
        ),
        Case(
            kind: rsa,
            arguments: ["-tls1_2", "-cipher", "ADH-AES256-GCM-SHA384@SECLEVEL=0"],
            summary: "TLSv1.2 with cipher ADH-AES256-GCM-SHA384 (256/256 bits)"
        ),
        Case(
            kind: rsa,
            arguments: ["-tls1_1", "-cipher", "ALL@SECLEVEL=0"],
            summary: "TLSv1.1 with cipher ECDHE-RSA-AES256-SHA (256/256 bits)"
        ),
        Case(
            kind: rsa,
            arguments: ["-tls1", "-cipher", "ALL@SECLEVEL=0"],
            summary: "TLSv1 with cipher ECDHE-RSA-AES256-SHA (256/256 bits)"
        ),
    ])
    func wrapperMode(_ test: Case) async throws {
        let context = try serverContext(certificates.make("server", kind: test.kind))
        let facts = try await serve(context, wrapper: true) { port in
            let output = try client(port, test.arguments)
            #expect(output.contains("220 mx.test.example ESMTP\r\n250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n"))
        }
        #expect(facts.map(\.summary) == [test.summary])
        #expect(facts.map(\.trustClass) == ["Anonymous"])
    }

    @Test(arguments: ["-tls1_3", "-tls1_2"]) func startTLS(version: String) async throws {
        let context = try serverContext(certificates.make("server"))
        let facts = try await serve(context, wrapper: false) { port in
            let output = try client(port, [version, "-starttls", "smtp"])
            #expect(output.contains("250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n"))
        }
        #expect(facts.map(\.protocolVersion) == [version == "-tls1_3" ? "TLSv1.3" : "TLSv1.2"])
    }

    @Test(arguments: ["-tls1_3", "-tls1_2"]) func resumption(version: String) async throws {
        let context = try serverContext(certificates.make("server", kind: Self.rsa))
        let session = certificates.file("session")
        let facts = try await serve(context, wrapper: true) { port in
            _ = try client(port, [version, "-sess_out", session])
            _ = try client(port, [version, "-sess_in", session])
        }
        #expect(facts.map(\.isResumed) == [false, true])
        // Postfix prints the signature's kind without a digest for a resumed session.
        if version == "-tls1_3" { #expect(facts.last?.summary == Self.tls13 + "X25519 server-signature RSA-PSS (2048 bits)") }
    }

    @Test func noTickets() async throws {
        let context = try serverContext(certificates.make("server")) { $0.tickets = TLSSessionTickets(enabled: false) }
        let facts = try await serve(context, wrapper: true) { port in
            let output = try openssl(["s_client", "-connect", "127.0.0.1:\(port)", "-tls1_3", "-ign_eof"], input: "NOOP\r\nQUIT\r\n")
            #expect(!output.contains("New Session Ticket"))
        }
        #expect(facts.count == 1)
    }

    @Test func oneTicketOfTwiceTheLifetime() async throws {
        let context = try serverContext(certificates.make("server"))
        _ = try await serve(context, wrapper: true) { port in
            let output = try openssl(["s_client", "-connect", "127.0.0.1:\(port)", "-tls1_3", "-ign_eof"], input: "NOOP\r\nQUIT\r\n")
            #expect(output.components(separatedBy: "Post-Handshake New Session Ticket arrived").count == 2)
            #expect(output.contains("TLS session ticket lifetime hint: 7200 (seconds)"))
        }
    }

    @Test func clientCertificates() async throws {
        let server = try certificates.make("server", kind: Self.rsa)
        try certificates.make("ca", kind: Self.ec, subject: "/O=Test/CN=Test CA")
        try certificates.issue("client", by: "ca", subject: "/CN=client (x)", san: "DNS:client.example")
        try certificates.make("stranger", kind: Self.ec, subject: "/CN=stranger")
        let context = try serverContext(server) {
            $0.askClientCertificate = true
            $0.authorities.file = certificates.file("ca.pem")
        }
        #expect(context.asksClientCertificate)
        let session = certificates.file("session")
        let facts = try await serve(context, wrapper: true) { port in
            _ = try client(port, [])
            _ = try client(port, ["-cert", certificates.file("client.pem"), "-key", certificates.file("client.key"), "-sess_out", session])
            _ = try client(port, ["-cert", certificates.file("stranger.pem"), "-key", certificates.file("stranger.key")])
            _ = try client(port, ["-sess_in", session])
        }
        #expect(facts.map(\.trustClass) == ["Anonymous", "Trusted", "Untrusted", "Trusted"])
        #expect(facts.map(\.peerCommonName) == ["", "client (x)", "stranger", "client (x)"])
        #expect(facts.map(\.peerIssuerName) == ["", "Test CA", "stranger", "Test CA"])
        #expect(facts.map(\.clientSignature) == ["", "ECDSA (prime256v1)", "ECDSA (prime256v1)", "ECDSA (prime256v1)"])
        #expect(facts.map(\.clientDigest) == ["", "SHA256", "SHA256", ""])
        #expect(facts.map(\.isResumed) == [false, false, false, true])
    }

    @Test func clientRenegotiationIsRefused() async throws {
        let context = try serverContext(certificates.make("server"))
        let facts = try await serve(context, wrapper: true) { port in
            // "R" at the start of a line makes s_client ask for a renegotiation.
            let output = try openssl(["s_client", "-connect", "127.0.0.1:\(port)", "-tls1_2"], input: "R\nQ\n", expectSuccess: false)
            #expect(output.contains("RENEGOTIATING"))
            #expect(output.contains("no renegotiation"))
        }
        #expect(facts.count == 1)
    }

    @Test func ciphersAndProtocolsAreEnforced() async throws {
        let context = try serverContext(certificates.make("server", kind: Self.rsa)) {
            $0.policy.protocols = "TLSv1.2"
            $0.policy.cipherList = TLSCiphers.list(grade: "HIGH", excluding: ["aNULL", "AES256"])
        }
        let facts = try await serve(context, wrapper: true) { port in
            _ = try client(port, ["-tls1_3"], expectSuccess: false)
            _ = try client(port, ["-tls1_2", "-cipher", "AES256-GCM-SHA384"], expectSuccess: false)
            _ = try client(port, ["-tls1_2", "-cipher", "ADH-AES128-GCM-SHA256@SECLEVEL=0"], expectSuccess: false)
            _ = try client(port, ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"])
        }
        #expect(facts.map(\.cipher) == ["ECDHE-RSA-AES128-GCM-SHA256"])
    }
}

@Suite struct ClientVerificationTests {
    let certificates: Certificates

    init() throws { certificates = try Certificates() }

    @Test(arguments: [
        (["mx.test.example"], "mx.test.example" as String?), (["other.example", "MX.test.example"], "MX.test.example"),
        ([".test.example"], ".test.example"), (["host.wild.example"], "host.wild.example"), (["a.b.wild.example"], "a.b.wild.example"),
        (["test.example"], nil), (["cn.example"], nil), ([], nil), ([".other.example"], nil),
    ])
    func names(wanted: [String], matched: String?) throws {
        try certificates.make("ca", kind: OpenSSLClientTests.ec, subject: "/CN=Test CA")
        let pair = try certificates.issue("server", by: "ca", subject: "/CN=cn.example", san: "DNS:mx.test.example,DNS:*.wild.example")
        let ends = try EmbeddedPair(
            client: try clientContext { $0.authorities.file = certificates.file("ca.pem") },
            server: try serverContext(pair),
            target: TLSClientTarget(matchNames: wanted)
        )
        defer { ends.finish() }
        try ends.connect()
        let facts = try #require(ends.clientRecorder.facts)
        #expect(facts.peerCertificateTrusted)
        #expect(facts.peerMatchedName == matched)
        #expect(facts.trustClass == (matched == nil ? "Trusted" : "Verified"))
        #expect(facts.peerIssuerName == "Test CA")
    }

    @Test func hashedDirectoryIsReadAtOnce() throws {
        try certificates.make("ca", kind: OpenSSLClientTests.ec, subject: "/CN=Test CA")
        let pair = try certificates.issue("server", by: "ca", subject: "/CN=cn.example", san: "DNS:mx.test.example")
        let directory = certificates.file("cas")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        try FileManager.default.copyItem(atPath: certificates.file("ca.pem"), toPath: directory + "/ca.pem")
        try openssl(["rehash", directory])
        let client = try clientContext { $0.authorities.directory = directory }
        #expect(client.warnings.isEmpty)
        // As after a chroot: nothing is left to be read.
        try FileManager.default.removeItem(atPath: directory)
        let ends = try EmbeddedPair(
            client: client,
            server: try serverContext(pair),
            target: TLSClientTarget(matchNames: ["mx.test.example"])
        )
        defer { ends.finish() }
        try ends.connect()
        #expect(ends.clientRecorder.facts?.trustClass == "Verified")
    }

    @Test func clientCertificateIsSent() throws {
        try certificates.make("ca", kind: OpenSSLClientTests.ec, subject: "/CN=Test CA")
        let own = try certificates.issue("own", by: "ca", subject: "/CN=relay.example", san: "DNS:relay.example")
        let ends = try EmbeddedPair(
            client: try clientContext { $0.pair = own },
            server: try serverContext(certificates.make("server")) {
                $0.askClientCertificate = true
                $0.authorities.file = certificates.file("ca.pem")
            }
        )
        defer { ends.finish() }
        try ends.connect()
        #expect(ends.serverRecorder.facts?.trustClass == "Trusted")
        #expect(ends.serverRecorder.facts?.peerCommonName == "relay.example")
        #expect(ends.clientRecorder.facts?.clientSignature == "ECDSA (prime256v1)")
    }
}
