import Glibc

/// What an administrator asks of the supervisor: one line on a connection to its socket.
enum SupervisorRequest: String, Sendable {
    case status
    case statusJSON = "status json"
    /// What is wrong, a line each; nothing when all is well.
    case problems
    /// Answered when the new generation serves, or has failed.
    case reload
    case upgrade
}

/// The supervisor's ear: a unix socket that only its own user can open, and root. Nothing here waits for the other side.
struct RequestSocket {
    static func path(queueDirectory: String) -> String { "\(queueDirectory)/pid/postern.socket" }

    let listening: CInt
    /// Connections whose line has not come yet.
    private var pending: [(descriptor: CInt, until: Double)] = []
    /// Connections that wait for the end of a reload.
    private(set) var waiting: [CInt] = []

    private static let limit = 32

    init(queueDirectory: String) throws(SystemError) {
        self.init(listening: try UnixSocket.listen(at: Self.path(queueDirectory: queueDirectory)))
    }

    init(listening: CInt) {
        self.listening = listening
        _ = fcntl(listening, F_SETFL, O_NONBLOCK)
    }

    var descriptors: [CInt] { [listening] + pending.map(\.descriptor) }

    /// The requests that have come; each is to be answered with ``answer(_:_:)`` or kept for ``tellReloaded(_:)`` with ``keep(_:)``.
    mutating func take(_ readable: Set<CInt>) -> [(SupervisorRequest, CInt)] {
        let now = monotonicSeconds()
        if readable.contains(listening) {
            while let descriptor = UnixSocket.accept(on: listening) {
                _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
                if pending.count < Self.limit { pending.append((descriptor, now + 5)) } else { Glibc.close(descriptor) }
            }
        }
        var out: [(SupervisorRequest, CInt)] = []
        for (descriptor, until) in pending {
            guard readable.contains(descriptor) || now >= until else { continue }
            pending.removeAll { $0.descriptor == descriptor }
            let line = String(decoding: UnixSocket.read(from: descriptor).prefix(64), as: UTF8.self)
            if line.hasSuffix("\n"), let request = SupervisorRequest(rawValue: String(line.dropLast())) {
                out.append((request, descriptor))
            } else {
                Glibc.close(descriptor)
            }
        }
        return out
    }

    func answer(_ descriptor: CInt, _ text: String) {
        _ = UnixSocket.write(text, to: descriptor)
        Glibc.close(descriptor)
    }

    mutating func keep(_ descriptor: CInt) {
        if waiting.count < Self.limit { waiting.append(descriptor) } else { Glibc.close(descriptor) }
    }

    mutating func tellReloaded(_ result: ReloadResult) {
        let text = result.failure.map { (["FAILED"] + $0).joined(separator: "\n") + "\n" } ?? "OK\n"
        for descriptor in waiting { answer(descriptor, text) }
        waiting = []
    }

    func close() { for descriptor in [listening] + pending.map(\.descriptor) + waiting { Glibc.close(descriptor) } }
}
