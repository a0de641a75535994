import Foundation
import NIOPosix
import Testing

@testable import Authentication

func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }

enum Tool {
    static let saslpasswd2 = path("saslpasswd2")
    static let saslauthd = path("saslauthd")
    static let dovecot = path("dovecot")

    /// A private mount needs root, and something to mount over.
    static let canStartSaslauthd = saslauthd != nil && geteuid() == 0 && FileManager.default.fileExists(atPath: "/etc/sasldb2")

    private static func path(_ name: String) -> String? {
        ["/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"].map { $0 + name }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    static func start(_ path: String, _ arguments: [String]) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        // Tests run on threads that block all signals, and a child inherits that: it could not be ended with SIGTERM.
        var none = sigset_t()
        var old = sigset_t()
        unsafe sigemptyset(&none)
        unsafe pthread_sigmask(SIG_SETMASK, &none, &old)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &old, nil) }
        try process.run()
        return process
    }

    /// The direct children of a process of ours.
    static func children(of process: Process) -> [(pid: pid_t, name: String)] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.compactMap { entry in
            guard let pid = pid_t(entry), let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
                let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")")
            else { return nil }
            let rest = text[text.index(after: close)...].split(separator: " ")
            guard rest.count > 1, rest[1] == "\(process.processIdentifier)" else { return nil }
            return (pid, String(text[text.index(after: open)..<close]))
        }
    }

    /// SIGTERM, and after a while SIGKILL, to a process of ours.
    static func end(_ process: Process) {
        let children = children(of: process)
        process.terminate()
        for _ in 0..<100 where process.isRunning { usleep(10_000) }
        guard process.isRunning else { return }
        // Dovecot waits for its clients to leave.
        for child in children { kill(child.pid, SIGKILL) }
        kill(process.processIdentifier, SIGKILL)
    }
}

/// A directory with smtpd.conf, sasldb2 (alice/secret in realm mx.test.example) and what else a test puts there.
final class Home {
    let directory: String

    /// `conf` is added to a smtpd.conf for sasldb; `DIR` in it is this directory.
    init(_ conf: String = "") throws {
        directory = "/tmp/postern-auth-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory + "/sasl", withIntermediateDirectories: true)
        var lines = conf.replacingOccurrences(of: "DIR", with: directory)
        if !conf.contains("pwcheck_method") { lines += "\npwcheck_method: auxprop" }
        if !conf.contains("auxprop_plugin") { lines += "\nauxprop_plugin: sasldb" }
        try "\(lines)\nsasldb_path: \(directory)/sasldb2\n".write(toFile: directory + "/sasl/smtpd.conf", atomically: true, encoding: .utf8)
        try addUser("alice", "secret", realm: "mx.test.example")
    }

    func remove() {
        CyrusServer.shutdown()
        try? FileManager.default.removeItem(atPath: directory)
    }

    func addUser(_ name: String, _ password: String, realm: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Tool.saslpasswd2 ?? "")
        process.arguments = ["-p", "-c", "-f", directory + "/sasldb2", "-u", realm, name]
        let pipe = Pipe()
        process.standardInput = pipe
        try process.run()
        pipe.fileHandleForWriting.write(Data(password.utf8))
        try pipe.fileHandleForWriting.close()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
    }

    func profile(localDomain: String = "", chroot: String? = nil) -> CyrusProfile {
        CyrusProfile(configDirectory: directory, chrootDirectory: chroot, serverName: "mx.test.example", localDomain: localDomain)
    }

    @discardableResult
    func prepare(localDomain: String = "", chroot: String? = nil) throws -> [AuthMechanism] {
        try CyrusWorker.prepare(profile(localDomain: localDomain, chroot: chroot))
    }

    /// A client with one worker on a thread of this process.
    func startWorkers(
        localDomain: String = "",
        chroot: String? = nil,
        options: SASLSecurityOptions = .noanonymous,
        tlsOptions: SASLSecurityOptions = .noanonymous
    ) throws -> AuthClient {
        try prepare(localDomain: localDomain, chroot: chroot)
        let profile = profile(localDomain: localDomain, chroot: chroot)
        let client = AuthClient(
            configuration: AuthClientConfiguration(
                localDomain: localDomain,
                serverName: profile.serverName,
                securityOptions: options,
                tlsSecurityOptions: tlsOptions,
                timeoutSeconds: 30
            ),
            group: MultiThreadedEventLoopGroup.singleton
        )
        let (mine, theirs) = try socketPair()
        Thread.detachNewThread { CyrusWorker.run(descriptor: mine, profile: profile) }
        client.addWorker(descriptor: theirs)
        return client
    }

    func login(_ client: AuthClient, _ mechanism: String, _ user: String, _ password: String) async throws -> AuthenticationStep {
        try await performLogin(client, mechanism, user, password)
    }

    /// `saslauthd -a sasldb` with our sasldb mounted, for it alone, where it looks.
    func startSaslauthd(directory run: String) throws -> Process {
        try FileManager.default.createDirectory(atPath: run, withIntermediateDirectories: true)
        let script =
            "mount --make-rprivate / && mount --bind \(directory)/sasldb2 /etc/sasldb2 && exec \(Tool.saslauthd ?? "") -d -n 1 -a sasldb -m \(run)"
        return try Tool.start("/usr/bin/unshare", ["-m", "/bin/sh", "-c", script])
    }
}

/// A whole exchange with libsasl2's client as the mail program.
func performLogin(_ client: AuthClient, _ mechanism: String, _ user: String, _ password: String) async throws -> AuthenticationStep {
    let sasl = try SASLClient(host: "mx.test.example", credentials: .init(username: user, password: password), securityOptions: [])
    let start = try sasl.start(offered: [mechanism])
    var (step, exchange) = await client.begin(request(start.mechanism, start.initialResponse))
    for _ in 0..<6 {
        guard case .challenge(let challenge) = step, let running = exchange else { break }
        do {
            step = await running.continue(try sasl.step(challenge: challenge))
        } catch {
            // The client side sees through the server (SCRAM, DIGEST-MD5 prove both ways).
            running.cancel()
            throw error
        }
    }
    exchange = nil
    return step
}
