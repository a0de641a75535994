package import NIOCore
import NIOPosix
import Synchronization

/// The connections to back ends of one kind, and the logins that wait for one.
///
/// Everything happens on one loop of the group; calls from other loops and threads are passed on to it.
package final class AuthPool: Sendable {
    package struct Limits: Sendable, Hashable {
        /// Steps that wait for a free worker, of all clients together.
        package var waiting = 1000
        /// Steps of one client network (/32, /64) that wait, and as many exchanges of it that are open.
        package var waitingPerNetwork = 50
        /// Exchanges open on one of our workers; the one that idles longest makes room for a new one.
        package var openPerWorker = 100
        /// Exchanges open on a Dovecot connection.
        package var openPerDovecot = 4000

        package init() {}
    }

    let loop: any EventLoop
    private let core: NIOLoopBoundBox<AuthPoolCore>
    private let offered: OfferedMechanisms

    /// A pool of our own workers; it is empty until ``addWorker(descriptor:)``. Logins wait for a worker as long as their deadline allows,
    /// so a worker that is being restarted costs nobody a login.
    package convenience init(group: any EventLoopGroup, limits: Limits = Limits()) {
        self.init(loop: group.next(), dovecot: nil, limits: limits)
    }

    /// Connects to Dovecot, and again whenever the connection is lost.
    package convenience init(dovecotSocket: DovecotSocket, group: any EventLoopGroup, limits: Limits = Limits()) {
        self.init(loop: group.next(), dovecot: dovecotSocket, limits: limits)
        run { $0.connectToDovecot() }
    }

    private init(loop: any EventLoop, dovecot: DovecotSocket?, limits: Limits) {
        self.loop = loop
        let offered = OfferedMechanisms()
        self.offered = offered
        core = NIOLoopBoundBox.makeBoxSendingValue(
            AuthPoolCore(loop: loop, dovecot: dovecot, limits: limits, offered: offered),
            eventLoop: loop
        )
    }

    deinit { close() }

    /// Takes over `descriptor`, a connected stream socket to a worker. When the worker closes it, it is removed and its exchanges end
    /// with `.unavailable`. Callable at any time from any thread.
    package func addWorker(descriptor: CInt) { run { $0.addWorker(descriptor: descriptor) } }

    /// Closes all connections for good; what is running ends with `.unavailable`.
    package func close() { run { $0.close() } }

    /// What the back end last said it offers, in its order; empty before it has.
    package var mechanisms: [AuthMechanism] { offered.list.withLock { $0 } }

    /// True for a pool connected to Dovecot, whose AUTH requests carry no private parameters.
    var isDovecot: Bool { offered.isDovecot.withLock { $0 } }

    func begin(_ start: AuthPoolCore.Start) async -> AuthOutcome {
        await withCheckedContinuation { continuation in
            run { $0.begin(start) { continuation.resume(returning: $0) } }
        }
    }

    func `continue`(id: UInt32, response: SecretBytes, timeout: TimeAmount) async -> AuthOutcome {
        await withCheckedContinuation { continuation in
            run { $0.continue(id: id, response: response, timeout: timeout) { continuation.resume(returning: $0) } }
        }
    }

    func cancel(id: UInt32) { run { $0.cancel(id: id) } }

    private func run(_ body: @escaping @Sendable (AuthPoolCore) -> Void) {
        loop.execute { [core] in body(core.value) }
    }
}

/// What sessions on all loops may read without waiting.
final class OfferedMechanisms: Sendable {
    let list = Mutex<[AuthMechanism]>([])
    let isDovecot = Mutex(false)
}

/// The result of one step, with what the back end wants logged.
struct AuthOutcome: Sendable {
    var step: AuthenticationStep
    var log: [String] = []
    /// The exchange's number while it goes on.
    var id: UInt32?
}

/// A client's network, for fairness: /32 or /64.
struct ClientNetwork: Sendable, Hashable {
    var text: String
}
