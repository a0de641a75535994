import Dispatch
import Glibc
import HandOff
import LoopTask
import MailLog
import NIOCore
import NIOPosix
import Relay
import Resolver
import Routing
import SMTPCore
import Settings
import Spool

/// The queue role: owns `queue_directory` and the relay's credentials. Knows no client.
final class QueueRole {
    private let environment: RoleEnvironment
    private let assembly: RelayAssembly
    private let resolver: RoleEnvironment.ResolverSetup

    /// Opens everything that is read from files; the process may still be root.
    init(_ environment: RoleEnvironment) throws {
        self.environment = environment
        assembly = try RelayAssembly(environment.configuration)
        resolver = try environment.resolver()
    }

    /// Only the queue is in reach afterwards, not the server's keys and accounts.
    func confine() throws -> Confinement.Report {
        let queueDirectory = environment.main.text("queue_directory")
        // Those below it, too: they may be links to another disk.
        return try Confinement(
            account: environment.owner,
            reach: .only(writable: [queueDirectory] + Directories.privateToQueue(queueDirectory)),
            secrets: environment.secretFiles
        ).apply()
    }

    func run(_ control: ControlChannel) throws {
        environment.log.onLoss { control.send(.reopenLog) }
        environment.announce(try confine(), to: control, program: "qmgr", warnings: resolver.warnings)
        let queueDirectory = environment.main.text("queue_directory")
        let clock = SystemClock()
        let spool = try Spool.open(
            directory: queueDirectory,
            options: SpoolOptions(environment.main),
            fileSystem: LinuxFileSystem(),
            clock: clock,
            observer: SpoolLog(environment)
        )
        defer { spool.close() }
        try spool.watchCrashes()
        // What was found must be known even if the next fault is only milliseconds away.
        environment.log.flush()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: ServerPlan.relayLoops)
        let executors = group.makeIterator().map { LoopExecutor($0) }
        let agent = RelayAgent(
            configuration: assembly.relay,
            resolver: { [router = assembly.router] address, sender in await router.resolve(address, sender: sender) },
            names: StubResolver(resolver.configuration, group: group),
            log: environment.mailLog(environment.main, program: "qmgr"),
            executors: executors
        )
        agent.start(ledger: spool)
        spool.start(agent: agent)
        let queueControl = try QueueControlServer(queueDirectory: queueDirectory, spool: spool) { agent.flush() }
        queueControl.start()
        let siteFlush = SiteFlush(spool: spool, clock: clock, log: environment.mailLog(environment.main, program: "flush")) {
            agent.flush()
        }
        control.send(.ready)
        let intake = QueueIntake(spool: spool, clock: clock) { siteFlush.request($0) }
        serve(control, intake: intake, group: group)
        siteFlush.stop()
        // What waits for delivery waits for the next queue role, rather than to be deferred by this one.
        spool.pause()
        let reported = DispatchSemaphore(value: 0)
        startLoopTask(on: executors[0]) {
            await agent.shutDown()
            reported.signal()
        }
        reported.wait()
        ThreadEnd.wait(for: group)
    }

    /// Seconds a large message that is arriving may take to its end, once this role is to go.
    private static let drainLimit = 10.0

    /// Obeys the supervisor until it says stop, or is gone.
    private func serve(_ control: ControlChannel, intake: QueueIntake, group: MultiThreadedEventLoopGroup) {
        let loops = Array(group.makeIterator())
        let connections = HandOffConnections()
        // What was begun is finished, so that a replacement of this role fails nobody.
        defer { connections.drain(seconds: Self.drainLimit) }
        while case .message(let message, let descriptor) = control.receive() {
            switch (message, descriptor) {
            case (.handOff(let loop), let descriptor?):
                connections.add(HandOffServer.serve(descriptor, intake: intake, on: loops[loop % loops.count]))
            case (.reopenLog, let descriptor?): environment.log.adopt(descriptor)
            case (.ping, _): LoopRound.complete(group) { control.send(.alive) }
            case (.stop, _): return
            default: if let descriptor { close(descriptor) }
            }
        }
    }
}

/// What the spool has to say, in the shapes of qmgr(8).
private final class SpoolLog: SpoolObserver {
    private let log: MailLog

    init(_ environment: RoleEnvironment) { log = environment.mailLog(environment.main, program: "qmgr") }

    func spoolEvent(_ event: SpoolEvent) {
        switch event {
        case .activated: break  // The relay logs it, with its own knowledge of the message.
        case .removed(let id): log.info("\(id): removed")
        case .strayReport(let id): log.warning("\(id): a delivery report for a message that is not being delivered")
        case .segmentAbandoned(let text): log.error("queue: \(text)")
        case .acceptingStopped(let text): log.fatal("queue: no new mail is accepted: \(text)")
        case .acceptingResumed: log.info("queue: new mail is accepted again")
        case .damaged(let text): log.error("queue: damage: \(text)")
        case .damageAcknowledged(let text): log.warning("queue: damage acknowledged: \(text)")
        case .clockNotTrusted(let text): log.warning("queue: nothing expires: \(text)")
        case .interrupted(let count):
            log.warning(
                "queue: the queue role before this one ended without closing the queue: \(count) messages may have been in delivery"
            )
        case .crashed(let id, let signal): log.error("\(id): the queue role ended by signal \(signal) while working on this message")
        case .poisonous(let id):
            log.error("\(id): put on hold: the queue role has ended twice while working on this message; release it to try again")
        case .housekeepingFailed(let text): log.warning("queue: \(text)")
        }
    }
}
