import Glibc
import MailLog
import NIOCore
import Submission
import TLS

/// What the smtpd role does at the supervisor's word, from its first descriptor to the end of its last session.
struct SMTPDDuty {
    private let control: ControlChannel
    private let server: SMTPDServer
    private let log: LogWriter
    private let notes: MailLog
    private let anvil: MailLog
    /// Seconds after which the last idle sessions of a retired generation are sent away.
    private let drainTime: Double
    /// Seconds between two looks at what clients have done (`anvil_status_update_time`).
    private let statusInterval: Double
    private var nextStatus: Double

    /// Sockets to serve, from the moment of `start`.
    private var listeners: [(service: String, address: String, descriptor: CInt)] = []
    private var isReady = false
    private var unlisted: Set<String> = []
    private let readyLimit: Double
    private var retirement: Retirement?
    /// Sessions finish the message they are in, then the process ends.
    private var isEnding = false
    /// The supervisor has died, or has turned away.
    private var isAlone = false
    /// Where the counters of generations before this one come from.
    private var predecessors: [CInt] = []
    private var reportedSessions = 0
    private var nextReport = 0.0

    private struct Retirement {
        let since: Double
        /// Takes snapshots; -1 when its reader has gone.
        var successor: CInt
        var nextSnapshot: Double
        var hasSentAway = false
        var hasClosed = false
    }

    /// Seconds after which a service is served without AUTH, for its other clients' sake.
    private static let patience = 5.0
    /// Seconds in which what waits in the queue of an address that is served no longer is taken.
    private static let lastCall = 1.0

    init(
        control: ControlChannel,
        server: SMTPDServer,
        log: LogWriter,
        notes: MailLog,
        anvil: MailLog,
        drainTime: Double,
        statusInterval: Double
    ) {
        self.control = control
        self.server = server
        self.log = log
        self.notes = notes
        self.anvil = anvil
        self.drainTime = drainTime
        self.statusInterval = statusInterval
        readyLimit = monotonicSeconds() + Self.patience
        nextStatus = monotonicSeconds() + statusInterval
    }

    /// Returns when the process is to end.
    mutating func run() {
        while !isDone {
            let readable = waitReadable((isAlone ? [] : [control.descriptor]) + predecessors, atMost: pause)
            for descriptor in predecessors where readable.contains(descriptor) { readCounters(descriptor) }
            if readable.contains(control.descriptor) { obey(control.receive()) }
            // Not between two of the first messages: what makes a service ready may be in the second.
            if readable.isEmpty { reportReadiness(monotonicSeconds()) }
            tick(monotonicSeconds())
        }
        for listener in listeners { close(listener.descriptor) }
        // As anvil(8) at a reload; not when the server stops.
        if retirement != nil { logStatistics() }
        server.close()
        log.flush()
    }

    private var isDone: Bool { (isEnding || retirement?.hasClosed == true) && server.sessions == 0 }

    private var pause: Double { !isReady || isEnding ? 0.01 : retirement != nil ? 0.05 : 1 }

    private mutating func obey(_ received: ControlChannel.Received) {
        guard case .message(let message, let descriptor) = received else {
            if case .closed = received {
                isAlone = true
                end()
            }
            return
        }
        switch (message, descriptor) {
        case (.listen(let service, let address), let descriptor?): listeners.append((service, address, descriptor))
        case (.unlisten(let address), _): unlisted.insert(address)
        case (.handOff(let loop), let descriptor?): server.attachQueue(loop, descriptor)
        case (.authentication(let profile), let descriptor?): server.addWorker(profile, descriptor)
        case (.ticketKeys(let keys), _): TLSTicketKeys.install(keys.compactMap(Hexadecimal.bytes))
        case (.start, _): begin()
        case (.retire, let descriptor): retire(descriptor ?? -1)
        case (.counters, let descriptor?): predecessors.append(descriptor)
        case (.reopenLog, let descriptor?): log.adopt(descriptor)
        case (.ping, _): server.whenAllLoopsTurn { [control] in control.send(.alive) }
        case (.stop, _): end()
        default: if let descriptor { close(descriptor) }
        }
    }

    /// No new sessions, and those that are idle get 421. The control channel is still obeyed: the last message may take its time.
    private mutating func end() {
        isEnding = true
        server.stopAccepting { _ in true }
        server.sendIdleAway()
    }

    private mutating func begin() {
        guard !isEnding else { return }
        for listener in listeners { server.listen(listener.service, at: listener.address, listener.descriptor) }
        listeners = []
    }

    private mutating func retire(_ successor: CInt) {
        let now = monotonicSeconds()
        for listener in listeners { close(listener.descriptor) }
        listeners = []
        server.stopAccepting { !unlisted.contains($0) }
        retirement = Retirement(since: now, successor: successor, nextSnapshot: now)
        notes.info("retired: \(server.sessions) sessions are served to their end")
    }

    /// Ready is who knows which mechanisms to announce: an EHLO reply without AUTH would make a mail program give up, or ask its user.
    private mutating func reportReadiness(_ now: Double) {
        guard !isReady else { return }
        let knowsAll = !listeners.isEmpty && listeners.allSatisfy { server.isReady($0.service) }
        guard knowsAll || now >= readyLimit else { return }
        isReady = true
        control.send(.ready)
    }

    private mutating func tick(_ now: Double) {
        if now >= nextReport, server.sessions != reportedSessions {
            reportedSessions = server.sessions
            nextReport = now + 1
            control.send(.sessions(reportedSessions))
        }
        if now >= nextStatus {
            nextStatus = now + statusInterval
            logStatistics()
        }
        if retirement != nil { tickRetired(now) }
    }

    private func logStatistics() {
        let (now, seconds) = (NIODeadline.now(), wallClockSeconds())
        for statistic in server.limits.takeStatistics() {
            let age = Int((now - statistic.time).nanoseconds / 1_000_000_000)
            anvil.info("statistics: max \(statistic.text) at \(LogLine.timestamp(seconds - age))")
        }
    }

    private mutating func tickRetired(_ now: Double) {
        guard var state = retirement else { return }
        if now >= state.nextSnapshot, state.successor >= 0 {
            state.nextSnapshot = now + 1
            if !Snapshots.send(server.limits.snapshot(), to: state.successor) {
                close(state.successor)
                state.successor = -1
            }
        }
        if !state.hasClosed, now >= state.since + (unlisted.isEmpty ? 0 : Self.lastCall) {
            server.stopAccepting { _ in true }
            state.hasClosed = true
        }
        if !state.hasSentAway, now >= state.since + drainTime {
            notes.info("retired for \(Int(drainTime)) s (smtpd_drain_time): \(server.sessions) sessions are asked to come back")
            server.sendIdleAway()
            state.hasSentAway = true
        }
        retirement = state
    }

    /// The other side is a process that reads from the network: what it sends is checked, and its size is bounded.
    private mutating func readCounters(_ descriptor: CInt) {
        if let snapshot = Snapshots.receive(from: descriptor) {
            if server.limits.merge(snapshot: snapshot, source: Int(descriptor)) { return }
            notes.warning("the client counters of the generation before are not readable: they are dropped")
        }
        server.limits.forget(source: Int(descriptor))
        predecessors.removeAll { $0 == descriptor }
        close(descriptor)
    }
}
