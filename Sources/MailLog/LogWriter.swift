import Dispatch
import Glibc
import Synchronization

/// Where lines go (`maillog_file`, `syslog_facility`).
package enum LogDestination: Sendable, Hashable {
    /// Appended to; each line begins with time and host name. `reopen()` follows a rotation.
    case file(String)
    case standardOutput
    /// The local syslog daemon, by datagrams to `/dev/log`. The number is the facility (mail is 2).
    case syslog(facility: Int)
}

/// The log of one process: formats at once, writes on a queue of its own. Lines that find the buffer full (a blocked sink) are counted and
/// reported later; a caller never waits.
package final class LogWriter: LogSink {
    private struct State: ~Copyable {
        var pending: [UInt8] = []
        var dropped = 0
        var flushScheduled = false
        var second = 0
        /// `Nov 21 02:16:00 host ` for `second`; formatting the time is the dearest part of a line.
        var prefix: [UInt8] = []
    }

    private static let capacity = 1 << 20
    private static let gatheringTime = DispatchTimeInterval.milliseconds(10)
    private static let flushLimit = DispatchTimeInterval.seconds(2)
    private let destination: LogDestination
    private let hostName: String
    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "postern.log")
    private let output: Mutex<LogOutput>
    private let lossAction = Mutex<(@Sendable () -> Void)?>(nil)

    /// Opens the destination at once, while the process may still have the rights to. Throws `errno` for a file that cannot be opened;
    /// a missing syslog daemon is no error, it may come later.
    package init(_ destination: LogDestination, hostName: String) throws(LogOpenError) {
        self.destination = destination
        self.hostName = String(hostName.prefix { $0 != "." })
        self.output = Mutex(try LogOutput(destination))
    }

    package func write(tag: String, processID: Int, text: String, severity: LogSeverity) {
        let now = time(nil)
        let mustSchedule = state.withLock { state -> Bool in
            guard state.pending.count < Self.capacity else {
                state.dropped += 1
                return false
            }
            if state.second != now {
                state.second = now
                state.prefix = makePrefix(now)
            }
            appendLine(to: &state.pending, prefix: state.prefix, tag: tag, processID: processID, text: text, severity: severity)
            defer { state.flushScheduled = true }
            return !state.flushScheduled
        }
        // A line waits a moment for others: under load one wake-up and one write serve many.
        if mustSchedule { queue.asyncAfter(deadline: .now() + Self.gatheringTime) { self.drain() } }
    }

    /// Returns when everything written so far has reached the destination, or after two seconds: a syslog daemon or a terminal that takes
    /// nothing must not keep a role from its work, nor a process from its end. Call before the process ends.
    package func flush() {
        let written = DispatchSemaphore(value: 0)
        queue.async {
            self.drain()
            written.signal()
        }
        _ = written.wait(timeout: .now() + Self.flushLimit)
    }

    /// Opens the file anew, after a rotation, or connects to syslog again. Where that fails, the old file goes on being written.
    package func reopen() {
        let fresh = LogOutput.fresh(destination)
        if fresh >= 0 { adopt(fresh) }
    }

    /// A new descriptor of the destination, to be passed to a process that can no longer open it; nil when there is none to pass.
    package func freshDescriptor() -> CInt? {
        let fresh = LogOutput.fresh(destination)
        return fresh >= 0 ? fresh : nil
    }

    /// Goes on, after the lines at hand, with a descriptor that another process has opened, which it owns from now on.
    package func adopt(_ descriptor: CInt) { queue.async { self.output.withLock { $0.adopt(descriptor) } } }

    /// Called on the log's own thread when the syslog daemon has gone and cannot be reached from here, for each batch of lines.
    package func onLoss(_ action: @escaping @Sendable () -> Void) { lossAction.withLock { $0 = action } }

    private func makePrefix(_ now: Int) -> [UInt8] {
        switch destination {
        case .syslog: Array("\(LogLine.timestamp(now)) ".utf8)
        case .file, .standardOutput: Array("\(LogLine.timestamp(now)) \(hostName) ".utf8)
        }
    }

    private func appendLine(
        to pending: inout [UInt8],
        prefix: [UInt8],
        tag: String,
        processID: Int,
        text: String,
        severity: LogSeverity
    ) {
        if case .syslog(let facility) = destination {
            pending.append(contentsOf: "<\(facility << 3 | severity.syslogLevel)>".utf8)
        }
        pending.append(contentsOf: prefix)
        pending.append(contentsOf: tag.utf8)
        pending.append(UInt8(ascii: "["))
        pending.append(contentsOf: String(processID).utf8)
        pending.append(contentsOf: "]: ".utf8)
        pending.append(contentsOf: severity.prefix.utf8)
        LogLine.append(text, to: &pending)
        pending.append(UInt8(ascii: "\n"))
    }

    private func drain() {
        while true {
            let (bytes, dropped) = state.withLock { state -> ([UInt8], Int) in
                var bytes: [UInt8] = []
                swap(&bytes, &state.pending)
                let dropped = state.dropped
                state.dropped = 0
                if bytes.isEmpty { state.flushScheduled = false }
                return (bytes, dropped)
            }
            if bytes.isEmpty { return }
            let isLost = output.withLock { output -> Bool in
                output.write(bytes)
                return output.isLost
            }
            if isLost { lossAction.withLock { $0 }?() }
            if dropped > 0 {
                write(
                    tag: "postern/log",
                    processID: Int(getpid()),
                    text: "\(dropped) lines dropped: the log was blocked",
                    severity: .warning
                )
            }
        }
    }
}

extension LogSeverity {
    /// syslog(3) levels: info 6, warning 4, error 3, critical 2.
    var syslogLevel: Int {
        switch self {
        case .info: 6
        case .warning: 4
        case .error: 3
        case .fatal: 2
        }
    }
}
