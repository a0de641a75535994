import Authentication
import HandOff
import MailLog
import NIOCore
import SMTPCore
import Synchronization

/// What a queue would have been given.
final class RecordingQueue {
    var messages: [(envelope: Envelope, content: [UInt8])] = []
    var nextID: UInt64 = 0x10_0000_0000
}

final class RecordingHandOff: MessageHandOff {
    private let queue: RecordingQueue

    init(_ queue: RecordingQueue) { self.queue = queue }

    var storageIsShort: Bool { false }

    func reserveQueueID() async throws(HandOffFailure) -> QueueID {
        queue.nextID += 1
        return QueueID(rawValue: queue.nextID)
    }

    func begin(_ id: QueueID, _ envelope: Envelope) -> any MessageTransfer { RecordingTransfer(queue, envelope) }
    func flush(domain: String) -> Bool { true }
}

final class RecordingTransfer: MessageTransfer {
    private let queue: RecordingQueue
    private var envelope: Envelope
    private var content: [UInt8] = []

    init(_ queue: RecordingQueue, _ envelope: Envelope) {
        self.queue = queue
        self.envelope = envelope
    }

    func write(_ bytes: ByteBuffer) async throws(HandOffFailure) { content += bytes.readableBytesView }
    func amend(_ envelope: Envelope) { self.envelope = envelope }
    func commit() async throws(HandOffFailure) { queue.messages.append((envelope, content)) }
    func abort() {}
}

/// What a session logged, without host and time.
final class RecordingLog: LogSink {
    private let state = Mutex<[String]>([])

    var lines: [String] { state.withLock { $0 } }

    func clear() { state.withLock { $0 = [] } }
    func write(tag: String, processID: Int, text: String, severity: LogSeverity) { state.withLock { $0.append(text) } }
}

/// PLAIN succeeds with one response, LOGIN after two answers; everything else fails.
struct ScriptedLogin: Authenticator {
    func mechanisms(tlsActive: Bool) -> [String] { ["PLAIN", "LOGIN"] }

    func begin(_ request: AuthenticationRequest) async -> (step: AuthenticationStep, exchange: (any AuthenticationExchange)?) {
        switch (request.mechanism, request.initialResponse) {
        case ("PLAIN", "AGEAYg=="): (.success(username: "a"), nil)
        case ("PLAIN", nil), ("LOGIN", _): (.challenge("VXNlcm5hbWU6"), Exchange())
        case ("SLOW", _): (.unavailable(reason: "generic failure", username: nil), nil)
        default: (.rejected(reason: "authentication failure", username: request.initialResponse), nil)
        }
    }

    private final class Exchange: AuthenticationExchange {
        private var answers = 0

        func `continue`(_ response: String) async -> AuthenticationStep {
            answers += 1
            if answers == 1 { return .challenge("UGFzc3dvcmQ6") }
            return response == "YQ==" ? .success(username: "a") : .rejected(reason: "authentication failure", username: response)
        }

        func cancel() {}
    }
}
