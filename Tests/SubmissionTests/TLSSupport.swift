import Foundation
import NIOCore
import PosternTesting
import Synchronization
import TLS

/// A certificate for one test, removed with it, and the contexts for both ends.
final class TestTLS: Sendable {
    let server: TLSContext
    let client: TLSContext
    private let directory: String

    init(asksForCertificate: Bool = false) throws {
        directory = NSTemporaryDirectory() + "postern-session-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        let pair = TLSKeyPair(certificateFile: "\(directory)/cert.pem", keyFile: "\(directory)/key.pem")
        try SelfSignedCertificate.make(names: ["mx.test.example"], validForDays: 30)
            .write(certificateFile: pair.certificateFile, keyFile: pair.keyFile)
        var configuration = TLSServerConfiguration()
        configuration.pair = pair
        configuration.askClientCertificate = asksForCertificate
        server = try TLSContext.server(configuration)
        client = try TLSContext.client(TLSClientConfiguration())
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    /// Puts TLS under a client's connection; what the client sends from now on is encrypted.
    func start(on connection: DialogueConnection) async throws {
        let context = client
        let channel = connection.channel
        try await channel.eventLoop.submit {
            let handler = TLSHandler(context: context, role: .client(TLSClientTarget()))
            try channel.pipeline.syncOperations.addHandler(handler, position: .first)
        }.get()
    }
}
