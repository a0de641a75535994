import CLinux
import Glibc

/// One end of the control connection between the supervisor and a role: datagrams in order, over a SOCK_SEQPACKET socketpair.
struct ControlChannel: Sendable {
    let descriptor: CInt

    /// The descriptor a role finds its end at.
    static let roleDescriptor: CInt = 3

    /// Both ends, close-on-exec.
    static func pair() throws(SystemError) -> (supervisor: ControlChannel, role: ControlChannel) {
        let ends = try socketPair(CInt(SOCK_SEQPACKET.rawValue))
        return (ControlChannel(descriptor: ends.0), ControlChannel(descriptor: ends.1))
    }

    enum Sent {
        case done
        /// The other side is gone.
        case gone
        /// It has not read what was sent before, and ``neverWait()`` was called: nothing was sent.
        case full
    }

    /// Sends a message and a copy of `passing`.
    @discardableResult
    func send(_ message: ControlMessage, passing: CInt = -1) -> Sent {
        let bytes = Array(message.text.utf8.prefix(ControlMessage.maximumLength))
        if unsafe bytes.withUnsafeBytes({ unsafe postern_send_fd(descriptor, $0.baseAddress, $0.count, passing) }) >= 0 { return .done }
        // Too many descriptors on their way are those that nobody has taken.
        return [EAGAIN, ENOBUFS, ETOOMANYREFS].contains(errno) ? .full : .gone
    }

    /// From now on neither ``send(_:passing:)`` nor ``receive()`` waits on this end: a role that does not read must not stop the supervisor.
    func neverWait() {
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        // Some hundred messages with their descriptors: more than any role gets before it is ready to read.
        var size: CInt = 1 << 18
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<CInt>.size))
    }

    enum Received {
        case message(ControlMessage, descriptor: CInt?)
        /// Not one of our messages; a descriptor that came with it has been closed.
        case malformed
        case closed
        /// There is no message now, and ``neverWait()`` was called.
        case nothing
    }

    /// Blocks until a message comes, unless ``neverWait()`` was called.
    func receive() -> Received {
        var bytes = [UInt8](repeating: 0, count: ControlMessage.maximumLength)
        var passed: CInt = -1
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe postern_receive_fd(descriptor, $0.baseAddress, $0.count, &passed) }
        if count < 0, errno == EAGAIN { return .nothing }
        guard count > 0 else { return .closed }
        guard let message = ControlMessage(text: String(decoding: bytes[..<count], as: UTF8.self)) else {
            if passed >= 0 { Glibc.close(passed) }
            return .malformed
        }
        return .message(message, descriptor: passed >= 0 ? passed : nil)
    }

    func close() { Glibc.close(descriptor) }
}

/// A connected pair of unix sockets, close-on-exec.
func socketPair(_ type: CInt = CInt(SOCK_STREAM.rawValue)) throws(SystemError) -> (CInt, CInt) {
    var ends: [CInt] = [-1, -1]
    guard unsafe socketpair(AF_UNIX, type | CInt(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else { throw SystemError("socketpair") }
    return (ends[0], ends[1])
}
