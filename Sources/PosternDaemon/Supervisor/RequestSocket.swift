import Glibc

/// What an administrator asks of the supervisor: one line on a connection to its socket.
enum SupervisorRequest: String, Sendable {
    case status
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
    /// What is still to be written.
    private var answers: [(descriptor: CInt, rest: ArraySlice<UInt8>, until: Double)] = []

    /// Connections at a time; the others wait in the kernel's queue.
    private static let limit = 32
    /// Seconds a client may take for its line, and again to read the answer.
    private static let patience = 5.0

    init(queueDirectory: String) throws(SystemError) {
        self.init(listening: try UnixSocket.listen(at: Self.path(queueDirectory: queueDirectory)))
    }

    init(listening: CInt) {
        self.listening = listening
        _ = fcntl(listening, F_SETFL, O_NONBLOCK)
    }

    private var isFull: Bool { pending.count + waiting.count + answers.count >= Self.limit }

    var isAnswering: Bool { !answers.isEmpty }

    var descriptors: [CInt] { (isFull ? [] : [listening]) + pending.map(\.descriptor) }

    /// Monotonic seconds at which a client that says nothing is given up.
    var deadline: Double? { pending.map(\.until).min() }

    /// The requests that have come; each is to be answered with ``answer(_:_:)`` or kept for ``tellReloaded(_:)`` with ``keep(_:)``.
    mutating func take(_ readable: Set<CInt>) -> [(SupervisorRequest, CInt)] {
        let now = monotonicSeconds()
        while readable.contains(listening), !isFull, let descriptor = UnixSocket.accept(on: listening) {
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            pending.append((descriptor, now + Self.patience))
        }
        var out: [(SupervisorRequest, CInt)] = []
        for (descriptor, until) in pending where readable.contains(descriptor) || now >= until {
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

    mutating func answer(_ descriptor: CInt, _ text: String) {
        answers.append((descriptor, Array(text.utf8)[...], monotonicSeconds() + Self.patience))
        flush()
    }

    /// Writes what clients take now, and gives up those that are gone or too slow.
    mutating func flush() {
        let now = monotonicSeconds()
        for index in answers.indices.reversed() {
            let written = UnixSocket.writeSome(answers[index].rest, to: answers[index].descriptor)
            answers[index].rest = answers[index].rest.dropFirst(written ?? 0)
            if written == nil || answers[index].rest.isEmpty || now >= answers[index].until {
                Glibc.close(answers.remove(at: index).descriptor)
            }
        }
    }

    mutating func keep(_ descriptor: CInt) { waiting.append(descriptor) }

    mutating func tellReloaded(_ result: ReloadResult) {
        let text = result.failure.map { (["FAILED"] + $0).joined(separator: "\n") + "\n" } ?? "OK\n"
        for descriptor in waiting { answer(descriptor, text) }
        waiting = []
    }

    func close() {
        for descriptor in [listening] + pending.map(\.descriptor) + waiting + answers.map(\.descriptor) { Glibc.close(descriptor) }
    }
}
