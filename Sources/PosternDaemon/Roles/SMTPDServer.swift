import Authentication
import Glibc
import HandOff
import LoopTask
import MailLog
import NIOCore
import NIOPosix
import Resolver
import Restrictions
import Routing
import SMTPCore
import Settings
import Submission
import TLS
import Tables

/// The smtpd role once it is unprivileged: loops, services and listeners.
final class SMTPDServer {
    private let group: MultiThreadedEventLoopGroup
    private var loops: [LoopContext]
    private var services: [String: SubmissionService] = [:]
    private var pools: [AuthPool] = []
    /// By the name of the service that authenticates there.
    private var poolOfService: [String: AuthPool] = [:]
    private var listeners: [(address: String, channel: any Channel)] = []
    /// What clients have done, to be handed over to the next generation.
    let limits: ClientLimits
    private let registry: SessionRegistry
    private let log: MailLog

    init(
        environment: RoleEnvironment,
        assemblies: [String: ServiceAssembly],
        resolverConfiguration: ResolverConfiguration,
        names: DeferredNameService,
        registry: SessionRegistry,
        isChrooted: Bool
    ) throws {
        self.registry = registry
        limits = ClientLimits(window: TimeAmount(environment.main.duration("anvil_rate_time_unit")))
        log = environment.mailLog(environment.main, program: "smtpd")
        group = MultiThreadedEventLoopGroup(numberOfThreads: ServerPlan.loops)
        loops = group.makeIterator().map(LoopContext.init)
        names.install(StubResolver(resolverConfiguration, group: group))
        let queueDirectory = isChrooted ? "/" : environment.main.text("queue_directory")
        try connectBackEnds(environment.configuration, queueDirectory: queueDirectory)
        for (name, assembly) in assemblies { services[name] = try service(name, assembly, environment, names) }
    }

    /// One pool for each SASL profile and each socket of Dovecot, however many services use it.
    private func connectBackEnds(_ configuration: Configuration, queueDirectory: String) throws {
        let profiles = SASLProfiles(configuration)
        pools = profiles.cyrus.map { _ in AuthPool(group: group) }
        let dovecot = try profiles.dovecot.map { path in
            (path, AuthPool(dovecotSocket: try DovecotSocket(parsing: path, queueDirectory: queueDirectory), group: group))
        }
        for service in configuration.smtpdServices {
            let settings = configuration.settings(for: service)
            poolOfService[service.name] =
                switch SASLProfiles.backEnd(settings, configurationDirectory: configuration.directory, chroot: service.chroot) {
                case .cyrus(let profile): profiles.cyrus.firstIndex(of: profile).map { pools[$0] }
                case .dovecot(let path): dovecot.first { $0.0 == path }?.1
                case nil: nil
                }
        }
    }

    private func service(
        _ name: String,
        _ assembly: ServiceAssembly,
        _ environment: RoleEnvironment,
        _ names: any NameService
    ) throws -> SubmissionService {
        let authenticator = try poolOfService[name].map {
            AuthClient(configuration: try AuthClientConfiguration(assembly.settings), pool: $0)
        }
        func submission(_ policy: SessionPolicy, _ rules: RestrictionEvaluator, stressed: SubmissionService?) -> SubmissionService {
            SubmissionService(
                policy: policy,
                tls: assembly.tls,
                authenticator: authenticator,
                rules: rules,
                router: assembly.router,
                names: names,
                logSink: environment.log,
                fastFlush: assembly.fastFlush,
                cleanupTag: "\(environment.main.text("syslog_name"))/cleanup",
                registry: registry,
                limits: limits,
                stressed: stressed
            )
        }
        let stressed = assembly.stressed.map { submission($0.policy, $0.rules, stressed: nil) }
        return submission(assembly.policy, assembly.rules, stressed: stressed)
    }

    /// Whether EHLO would announce what the service's back end offers: false until the first worker, or Dovecot, has said what that is.
    func isReady(_ name: String) -> Bool { poolOfService[name].map { !$0.mechanisms.isEmpty } ?? true }

    /// Accepts on `descriptor` from one loop and deals the connections out to all of them in turn.
    ///
    /// Not one copy of the listener in every loop: each connection would wake all loops for one of them to find it, and few clients with
    /// long sessions would gather on the loop that happened to be idle.
    func listen(_ name: String, at address: String, _ descriptor: CInt) {
        guard let service = services[name] else {
            _ = Glibc.close(descriptor)
            return log.error("no such service: \(name)")
        }
        let contexts = loops
        let bootstrap = ServerBootstrap(group: loops[listeners.count % loops.count].loop, childGroup: group)
            .serverChannelOption(.maxMessagesPerRead, value: 16)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            // The channel keeps a buffer of the size it expects: commands are short, and content makes it grow at once.
            .childChannelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 512, maximum: 65_536))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let context = contexts.first(where: { $0.loop === channel.eventLoop }) else {
                        throw ChannelError.inappropriateOperationForState
                    }
                    try context.startSession(on: channel, service: service)
                }
            }
        do {
            listeners.append((address, try bootstrap.withBoundSocket(descriptor).wait()))
            // Adopting a socket makes NIO call listen(2) with a backlog of its own.
            _ = Glibc.listen(descriptor, ListenSocket.backlog)
        } catch {
            log.error("service \(name): \(error)")
        }
    }

    func attachQueue(_ loop: Int, _ descriptor: CInt) {
        guard loops.indices.contains(loop) else {
            _ = Glibc.close(descriptor)
            return
        }
        loops[loop].attachQueue(descriptor)
    }

    func addWorker(_ profile: Int, _ descriptor: CInt) {
        guard pools.indices.contains(profile) else {
            _ = Glibc.close(descriptor)
            return
        }
        pools[profile].addWorker(descriptor: descriptor)
    }

    /// Sessions alive now.
    var sessions: Int { registry.count }

    /// Stops accepting at the addresses chosen, without losing a connection: one that was accepted and is still on its way to its loop
    /// would be closed with its listener, and one that waits in the kernel's queue is left there for whoever shares the socket.
    func stopAccepting(_ isChosen: (String) -> Bool) {
        let chosen = listeners.filter { isChosen($0.address) }.map(\.channel)
        listeners.removeAll { isChosen($0.address) }
        for listener in chosen { try? listener.setOption(.autoRead, value: false).wait() }
        // From the listener's loop to the session's, back to the listener's, and to the session's once more (ServerBootstrap).
        for _ in 0..<2 {
            for loop in loops { try? loop.loop.submit {}.wait() }
        }
        for listener in chosen { try? listener.close().wait() }
    }

    /// Idle sessions get 421, the others after the message they are in.
    func sendIdleAway() { registry.shutDown() }

    /// Calls `body`, on some loop, when every loop has come round once more.
    func whenAllLoopsTurn(_ body: @escaping @Sendable () -> Void) { LoopRound.complete(group, then: body) }

    /// For the end of the process: there must be no listeners and sessions any more.
    func close() {
        for pool in pools { pool.close() }
        letGo()
        ThreadEnd.wait(for: group)
    }

    /// What belongs to a loop goes on that loop, and so before the loops end.
    private func letGo() {
        services = [:]
        poolOfService = [:]
        pools = []
        loops = []
        // A listener lets go on its own loop of what belongs to the others, which may be what held the last of their connections.
        for _ in 0..<3 {
            for loop in group.makeIterator() { try? loop.submit {}.wait() }
        }
    }
}

/// What belongs to one event loop of the smtpd role.
final class LoopContext: Sendable {
    let loop: any EventLoop
    private let executor: LoopExecutor
    private let handOff: NIOLoopBoundBox<QueueHandOff>

    init(_ loop: any EventLoop) {
        self.loop = loop
        executor = LoopExecutor(loop)
        handOff = .makeBoxSendingValue(
            QueueHandOff(loop: loop, limits: HandOffLimits(descriptors: DescriptorLimit.current)),
            eventLoop: loop
        )
    }

    func attachQueue(_ descriptor: CInt) { loop.execute { self.handOff.value.attach(descriptor) } }

    /// On the loop.
    func startSession(on channel: any Channel, service: SubmissionService) throws {
        try Submission.startSession(on: channel, service: service, executor: executor, handOff: handOff.value)
    }
}
