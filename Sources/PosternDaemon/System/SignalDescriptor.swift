import CLinux
import Glibc

/// Signals as readable events, so that the supervisor's loop is the only place where anything happens.
struct SignalDescriptor {
    let descriptor: CInt

    init() throws(SystemError) {
        descriptor = postern_signal_descriptor()
        guard descriptor >= 0 else { throw SystemError("signalfd") }
    }

    /// The numbers of the signals that came since the last call.
    func read() -> [CInt] {
        var signals: [CInt] = []
        while case let signal = postern_next_signal(descriptor), signal > 0 { signals.append(signal) }
        return signals
    }
}

/// Waits until one of the descriptors is readable or `seconds` have passed; returns the readable ones.
func waitReadable(_ descriptors: [CInt], atMost seconds: Double) -> Set<CInt> {
    var polled = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    let milliseconds = CInt(max(0, min(seconds * 1000, 60_000)))
    let count = unsafe poll(&polled, nfds_t(polled.count), milliseconds)
    guard count > 0 else { return [] }
    return Set(polled.filter { $0.revents != 0 }.map(\.fd))
}
