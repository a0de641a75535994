import NIOCore

/// When to connect to Dovecot, and when to give up on logins meanwhile. A value's worth of state for ``AuthPoolCore``.
final class DovecotConnector {
    let socket: DovecotSocket
    private var connecting = false
    private var pause = TimeAmount.milliseconds(100)
    private var notBefore = NIODeadline.uptimeNanoseconds(0)

    init(socket: DovecotSocket) { self.socket = socket }

    /// Whether a login that comes now, while there is no connection, may hope for one.
    func mayWait(now: NIODeadline) -> Bool { connecting || now >= notBefore }

    /// True if a try is due; the caller then makes it and reports.
    func begin(now: NIODeadline) -> Bool {
        guard !connecting, now >= notBefore else { return false }
        connecting = true
        return true
    }

    /// The handshake is complete.
    func succeeded() {
        connecting = false
        pause = .milliseconds(100)
        notBefore = .uptimeNanoseconds(0)
    }

    /// Returns the pause before the next try: short after a restart of Dovecot, growing to two seconds while it stays away.
    func failed(now: NIODeadline, wasReady: Bool) -> TimeAmount {
        connecting = false
        let current = wasReady ? .milliseconds(100) : pause
        pause = min(current * 2, .seconds(2))
        notBefore = now + current
        return current
    }
}
