import DequeModule
import NIOCore
import NIOPosix
import Synchronization

/// The state of an ``AuthPool``; used on its loop only.
///
/// One of our workers runs one step at a time, since libsasl2 blocks, but may have many exchanges open: a client that was asked for its
/// password and says nothing holds a place, not the worker. Dovecot runs as many steps as we like.
final class AuthPoolCore {
    typealias Reply = @Sendable (AuthOutcome) -> Void

    struct Start: Sendable {
        var network: ClientNetwork
        var mechanism: String
        var parameters: AuthParameters
        var response: SecretBytes?
        var timeout: TimeAmount
    }

    /// One AUTH exchange.
    final class Exchange {
        enum State {
            /// A step waits for its turn.
            case waiting
            case running
            /// The client has the word.
            case idle
        }

        let id: UInt32
        let network: ClientNetwork
        var state = State.waiting
        /// The step to send when its turn comes.
        var message: AuthClientMessage?
        weak var connection: BackEndConnection?
        var reply: Reply?
        var deadline: Scheduled<Void>?
        /// When the client got the word; counts up.
        var idleSince: UInt64 = 0

        init(id: UInt32, network: ClientNetwork, message: AuthClientMessage, reply: @escaping Reply) {
            self.id = id
            self.network = network
            self.message = message
            self.reply = reply
        }
    }

    let loop: any EventLoop
    private let limits: AuthPool.Limits
    private let offered: OfferedMechanisms
    private var exchanges: [UInt32: Exchange] = [:]
    private var openPerNetwork: [ClientNetwork: Int] = [:]
    private var waiting: FairQueue<ClientNetwork, Exchange>
    private var connections: [BackEndConnection] = []
    private var lastID: UInt32 = 0
    private var idleClock: UInt64 = 0
    private var closed = false
    private var dovecot: DovecotConnector?

    init(loop: any EventLoop, dovecot: DovecotSocket?, limits: AuthPool.Limits, offered: OfferedMechanisms) {
        self.loop = loop
        self.limits = limits
        self.offered = offered
        waiting = FairQueue(capacity: limits.waiting, capacityPerKey: limits.waitingPerNetwork)
        self.dovecot = dovecot.map { DovecotConnector(socket: $0) }
        offered.isDovecot.withLock { $0 = dovecot != nil }
    }

    // MARK: Steps

    func begin(_ start: Start, reply: @escaping Reply) {
        if closed { return reply(.unavailable("Connection lost to authentication server (shutting down)")) }
        if openPerNetwork[start.network, default: 0] >= limits.waitingPerNetwork {
            return reply(.unavailable("Connection lost to authentication server (too many logins at once from \(start.network.text))"))
        }
        if let dovecot, connections.isEmpty, !dovecot.mayWait(now: .now()) {
            return reply(.unavailable("Can't connect to authentication server"))
        }
        repeat { lastID = lastID &+ 1 } while lastID == 0 || exchanges[lastID] != nil
        let message = AuthClientMessage.auth(id: lastID, mechanism: start.mechanism, start.parameters, response: start.response)
        let exchange = Exchange(id: lastID, network: start.network, message: message, reply: reply)
        switch waiting.append(exchange, key: start.network) {
        case .refused: return reply(.unavailable("Connection lost to authentication server (too many logins are waiting)"))
        case .displaced(let other): finish(other, .unavailable("Connection lost to authentication server (too many logins are waiting)"))
        case .admitted: break
        }
        exchanges[exchange.id] = exchange
        openPerNetwork[exchange.network, default: 0] += 1
        setDeadline(exchange, start.timeout)
        connectToDovecot()
        pump()
    }

    func `continue`(id: UInt32, response: SecretBytes, timeout: TimeAmount, reply: @escaping Reply) {
        guard let exchange = exchanges[id], exchange.state == .idle, let connection = exchange.connection else {
            // Its worker died, or it made room for others.
            return reply(.unavailable("Connection lost to authentication server"))
        }
        exchange.state = .waiting
        exchange.message = .response(id: id, data: response)
        exchange.reply = reply
        connection.pinned.append(exchange)
        setDeadline(exchange, timeout)
        pump()
    }

    func cancel(id: UInt32) {
        guard let exchange = exchanges[id] else { return }
        abandon(exchange, .unavailable("Connection lost to authentication server (cancelled)"))
    }

    /// Sends waiting steps to whoever is free: first those that belong to one worker, then the new ones in fair order.
    private func pump() {
        for connection in connections where connection.isReady {
            while connection.isFree, let exchange = connection.pinned.popFirst() { send(exchange, to: connection) }
        }
        while waiting.count > 0, let connection = connections.filter({ $0.isReady && $0.isFree }).min(by: { $0.open.count < $1.open.count })
        {
            guard makeRoom(on: connection), let exchange = waiting.popFirst() else { return }
            send(exchange, to: connection)
        }
    }

    /// False when the worker's places are all taken by exchanges that wait for the worker, not for their client.
    private func makeRoom(on connection: BackEndConnection) -> Bool {
        guard connection.open.count >= (dovecot == nil ? limits.openPerWorker : limits.openPerDovecot) else { return true }
        let idle = connection.open.compactMap { exchanges[$0] }.filter { $0.state == .idle }.min { $0.idleSince < $1.idleSince }
        guard let idle else { return false }
        abandon(idle, nil)
        return true
    }

    private func send(_ exchange: Exchange, to connection: BackEndConnection) {
        guard let message = exchange.message else { return }
        exchange.message = nil
        exchange.state = .running
        exchange.connection = connection
        connection.open.insert(exchange.id)
        connection.running.insert(exchange.id)
        connection.send(message)
    }

    private func setDeadline(_ exchange: Exchange, _ timeout: TimeAmount) {
        let box = NIOLoopBound((self, exchange), eventLoop: loop)
        exchange.deadline = loop.scheduleTask(in: timeout) {
            let (core, exchange) = box.value
            core.abandon(exchange, .unavailable("Connection lost to authentication server (no answer in time)"))
        }
    }

    /// Ends an exchange whose back end has not finished with it. A worker that is stuck in its step stays taken until it answers.
    private func abandon(_ exchange: Exchange, _ outcome: AuthOutcome?) {
        if let connection = exchange.connection {
            connection.send(.cancel(id: exchange.id))
            connection.open.remove(exchange.id)
            connection.pinned.removeAll { $0 === exchange }
            if connection.forgetsCancelled { connection.running.remove(exchange.id) }
        } else {
            waiting.remove(key: exchange.network) { $0 === exchange }
        }
        finish(exchange, outcome)
        pump()
    }

    /// Tells the session and forgets the exchange.
    private func finish(_ exchange: Exchange, _ outcome: AuthOutcome?) {
        exchange.deadline?.cancel()
        if exchanges.removeValue(forKey: exchange.id) != nil {
            let left = openPerNetwork[exchange.network, default: 1] - 1
            openPerNetwork[exchange.network] = left > 0 ? left : nil
        }
        let reply = exchange.reply
        exchange.reply = nil
        if let outcome { reply?(outcome) }
    }

    // MARK: Answers

    func receive(_ answer: BackEndConnection.Answer, from connection: BackEndConnection) {
        connection.running.remove(answer.id)
        defer { pump() }
        // An abandoned one, or another's: not ours to believe.
        guard let exchange = exchanges[answer.id], exchange.connection === connection, exchange.state == .running else { return }
        if case .challenge = answer.step {
            exchange.deadline?.cancel()
            exchange.state = .idle
            idleClock &+= 1
            exchange.idleSince = idleClock
            let reply = exchange.reply
            exchange.reply = nil
            reply?(AuthOutcome(step: answer.step, log: answer.log, id: exchange.id))
        } else {
            connection.open.remove(exchange.id)
            finish(exchange, AuthOutcome(step: answer.step, log: answer.log))
        }
    }

    func becameReady(_ connection: BackEndConnection) {
        dovecot?.succeeded()
        offered.list.withLock { $0 = connection.mechanisms }
        pump()
    }

    func lost(_ connection: BackEndConnection) {
        connections.removeAll { $0 === connection }
        let pinned = connection.open
        connection.pinned.removeAll()
        connection.open = []
        for id in pinned {
            guard let exchange = exchanges[id] else { continue }
            exchange.connection = nil
            if exchange.state == .idle {
                // Nobody waits for this answer; the next `continue` learns that it is gone.
                finish(exchange, nil)
            } else {
                finish(exchange, .unavailable("Connection lost to authentication server"))
            }
        }
        if dovecot != nil, !closed { reconnectToDovecot(wasReady: connection.isReady) }
    }

    // MARK: Connections

    func addWorker(descriptor: CInt) {
        let connection = BackEndConnection(core: self, forgetsCancelled: false, capacity: 1)
        let box = NIOLoopBound((self, connection), eventLoop: loop)
        ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(AuthConnectionHandler(box.value.1)) }
            }
            .withConnectedSocket(descriptor)
            .whenComplete { result in
                let (core, connection) = box.value
                if case .success(let channel) = result { core.adopt(connection, channel) }
            }
    }

    private func adopt(_ connection: BackEndConnection, _ channel: any Channel) {
        guard !closed, channel.isActive else { return channel.close(promise: nil) }
        connection.channel = channel
        connections.append(connection)
        // The handshake may have come before this turn.
        if connection.isReady { becameReady(connection) }
    }

    func connectToDovecot() {
        guard let dovecot, connections.isEmpty, !closed, dovecot.begin(now: .now()) else { return }
        let connection = BackEndConnection(core: self, forgetsCancelled: true, capacity: .max)
        let box = NIOLoopBound((self, connection), eventLoop: loop)
        let bootstrap = ClientBootstrap(group: loop).connectTimeout(.seconds(5)).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(AuthConnectionHandler(box.value.1)) }
        }
        let future =
            switch dovecot.socket {
            case .unix(let path): bootstrap.connect(unixDomainSocketPath: path)
            case .inet(let host, let port): bootstrap.connect(host: host, port: port)
            }
        future.hop(to: loop).whenComplete { result in
            let (core, connection) = box.value
            switch result {
            case .success(let channel): core.adopt(connection, channel)
            case .failure: core.reconnectToDovecot(wasReady: false)
            }
        }
    }

    /// A connection could not be made or went away: who waits is told at once, and the next try follows after a pause.
    private func reconnectToDovecot(wasReady: Bool) {
        guard let dovecot, !closed else { return }
        let pause = dovecot.failed(now: .now(), wasReady: wasReady)
        for exchange in waiting.removeAll() { finish(exchange, .unavailable("Can't connect to authentication server")) }
        let box = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: pause) { box.value.connectToDovecot() }
    }

    func close() {
        closed = true
        for exchange in waiting.removeAll() { finish(exchange, .unavailable("Connection lost to authentication server (shutting down)")) }
        for connection in connections { connection.channel?.close(promise: nil) }
    }
}

extension AuthOutcome {
    static func unavailable(_ reason: String) -> AuthOutcome { AuthOutcome(step: .unavailable(reason: reason, username: nil)) }
}
