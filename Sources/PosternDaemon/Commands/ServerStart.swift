import Glibc
import MailLog
import SMTPCore
import Settings

/// `postern start`.
package enum ServerStart {
    /// Checks, binds and serves until SIGTERM or SIGINT. Returns the exit status; problems are on standard error.
    /// - Parameter notify: tell the process at descriptor 3 once everything is ready, then let go of the terminal.
    package static func run(configurationDirectory: String, notify: Bool = false) -> CInt {
        let check = StartupCheck(configurationDirectory: configurationDirectory)
        for line in check.report(verbose: false) { report(line) }
        guard check.passes, let configuration = check.configuration, let plan = ServerPlan(check) else { return 1 }
        do {
            return try serve(configuration, plan, notes: check.diagnostics, notify: notify)
        } catch {
            report("postern: \(error)")
            return 1
        }
    }

    /// Goes on as the server that this process was before its program was replaced; see `postern upgrade`.
    /// - Parameter state: the descriptor of what the program before has left.
    package static func resume(configurationDirectory: String, state: CInt) -> CInt {
        do {
            guard let read = Supervisor.readState(state) else { throw RoleFailure("the state of the program before cannot be read") }
            close(state)
            return try Supervisor.resume(read, configurationDirectory: configurationDirectory)
        } catch {
            report("postern: \(error)")
            return 1
        }
    }

    /// Makes what is missing below `queue_directory` and mends what is harmless: for a service manager that starts us with fewer rights.
    package static func prepare(configurationDirectory: String) -> CInt {
        guard let configuration = Configuration.load(directory: configurationDirectory).0 else {
            report("postern: \(configurationDirectory): the configuration cannot be read")
            return 1
        }
        do {
            let owner = try Account.owner(configuration.main)
            let queueDirectory = configuration.main.text("queue_directory")
            for text in try Directories.prepareQueue(queueDirectory, owner: owner) { report("postern: mended: \(text)") }
            return 0
        } catch {
            report("postern: \(error)")
            return 1
        }
    }

    /// Starts the server in a session of its own; returns once it serves, or has failed.
    package static func detach(configurationDirectory: String) -> CInt {
        do {
            let (own, theirs) = try ControlChannel.pair()
            let arguments = ["start", "-c", configurationDirectory, "--foreground", "--notify"]
            _ = try ChildProcess.start(ChildProcess.ownPath(), arguments, control: theirs.descriptor, newSession: true)
            theirs.close()
            if case .message(.ready, _) = own.receive() { return 0 }
            report("postern: the server did not start")
        } catch {
            report("postern: \(error)")
        }
        return 1
    }

    private static func serve(_ configuration: Configuration, _ plan: ServerPlan, notes: [Diagnostic], notify: Bool) throws -> CInt {
        let main = configuration.main
        let queueDirectory = main.text("queue_directory")
        let owner = try Account.owner(main)
        if let conflict = QueueOwnership.conflict(
            queueDirectory: queueDirectory,
            configurationDirectory: configuration.directory,
            starting: true
        ) {
            throw RoleFailure(conflict)
        }
        let mended = try Directories.prepareQueue(queueDirectory, owner: owner)
        // Held until the process ends.
        let lock = try PIDFile(queueDirectory: queueDirectory, configurationDirectory: configuration.directory)
        let listeners = try bind(configuration)
        DescriptorLimit.raise()
        let writer = try LogWriter(LogDestination(main), hostName: main.text("myhostname"))
        let log = MailLog(sink: writer, tag: "\(main.text("syslog_name"))/master", processID: Int(getpid()))
        for text in mended { log.warning("mended: \(text)") }
        for note in notes {
            if note.severity == .warning { log.warning(note.text) } else { log.info("note: \(note.text)") }
        }
        let setup = Supervisor.Setup(
            configurationDirectory: configuration.directory,
            queueDirectory: queueDirectory,
            program: ChildProcess.ownPath(),
            loops: ServerPlan.loops,
            log: log,
            logSetup: SupervisorState.LogSetup(
                file: main.text("maillog_file"),
                facility: main.text("syslog_facility"),
                hostName: main.text("myhostname"),
                tag: log.tag
            ),
            signals: try SignalDescriptor(),
            lock: lock
        )
        let supervisor = Supervisor(setup, plan: plan, listeners: listeners) {
            log.info("daemon started -- version \(PosternVersion.number), configuration \(configuration.directory)")
            ServiceManager().ready("serving \(configuration.directory)")
            if notify { letGo() }
        }
        let status = supervisor.run()
        writer.flush()
        return status
    }

    /// Binds every service, and reports all that fail at once.
    private static func bind(_ configuration: Configuration) throws -> [ListenSocket] {
        var sockets: [ListenSocket] = []
        var failures: [String] = []
        var passed = PassedSockets.atStart
        for service in configuration.smtpdServices {
            for endpoint in service.endpoints {
                if let socket = passed.take(endpoint.address, endpoint.port) {
                    let descriptor = socket.descriptor
                    sockets.append(
                        ListenSocket(service: service.name, address: endpoint.address, port: endpoint.port, adopting: descriptor)
                    )
                    continue
                }
                do {
                    sockets.append(try ListenSocket(service: service.name, address: endpoint.address, port: endpoint.port))
                } catch {
                    failures.append("\(service.location): \(error)")
                }
            }
        }
        for socket in passed.sockets {
            report("postern: no service of master.cf listens on \(socket.address):\(socket.port), which was passed")
        }
        guard failures.isEmpty else { throw RoleFailure(failures.joined(separator: "\npostern: ")) }
        return sockets
    }

    /// Tells the waiting starter, and takes the terminal's descriptors away.
    private static func letGo() {
        let null = unsafe open("/dev/null", O_RDWR)
        if null >= 0 { for descriptor in 0...2 { dup2(null, CInt(descriptor)) } }
        let starter = ControlChannel(descriptor: ControlChannel.roleDescriptor)
        starter.send(.ready)
        starter.close()
    }

    static func report(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
    }
}

extension ServerPlan {
    /// One event loop per core.
    static var loops: Int { max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))) }

    /// Event loops of the queue role. One delivers ten thousand messages a second, and each further one costs wake-ups between them.
    static var relayLoops: Int { max(1, loops / 4) }
}
