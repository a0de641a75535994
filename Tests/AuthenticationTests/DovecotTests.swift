import Authentication
import Foundation
import NIOPosix
import Testing

/// The AUTH client against a real Dovecot with a private configuration.
@Suite("Dovecot", .serialized, .enabled(if: Tool.dovecot != nil && geteuid() == 0))
struct DovecotTests {
    private func client(_ socket: DovecotSocket) -> AuthClient {
        AuthClient(
            configuration: AuthClientConfiguration(serverName: "mx.test.example", timeoutSeconds: 20),
            dovecotSocket: socket,
            group: MultiThreadedEventLoopGroup.singleton
        )
    }

    @Test(arguments: [false, true])
    func everyMechanismLogsIn(overTCP: Bool) async throws {
        let dovecot = try DovecotHome(port: 23150)
        defer { dovecot.remove() }
        let process = try dovecot.start()
        defer { Tool.end(process) }
        let client = client(overTCP ? .inet(host: "127.0.0.1", port: 23150) : .unix(dovecot.socket))
        try await waitUntil { !client.mechanisms(tlsActive: true).isEmpty }
        #expect(client.mechanisms(tlsActive: true) == ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"])
        for mechanism in client.mechanisms(tlsActive: true) {
            #expect(try await performLogin(client, mechanism, "alice", "secret") == .success(username: "alice"), "\(mechanism)")
            guard case .rejected(_, let name) = try await performLogin(client, mechanism, "alice", "wrong") else {
                Issue.record("\(mechanism) with a wrong password")
                continue
            }
            #expect(name == "alice" || name == nil)
        }
    }

    @Test func refusalsHaveDovecotsWords() async throws {
        let dovecot = try DovecotHome(port: 23151)
        defer { dovecot.remove() }
        let process = try dovecot.start()
        defer { Tool.end(process) }
        let client = client(.unix(dovecot.socket))
        try await waitUntil { !client.mechanisms(tlsActive: true).isEmpty }
        #expect(await client.begin(request("FOO", nil)).step == .rejected(reason: "Invalid authentication mechanism: 'FOO'", username: nil))
        #expect(
            await client.begin(request("PLAIN", "!!!!")).step == .rejected(reason: "Invalid base64 data in initial response", username: nil)
        )
        #expect(
            await client.begin(request("PLAIN", "AAA")).step == .rejected(reason: "Invalid base64 data in initial response", username: nil)
        )
        let (_, exchange) = await client.begin(request("LOGIN", nil))
        #expect(await exchange?.continue("AAA") == .rejected(reason: "Invalid base64 data in continued response", username: nil))
        // Many at once over one connection, some given up half-way.
        await withTaskGroup(of: AuthenticationStep.self) { group in
            for number in 0..<60 {
                group.addTask {
                    if number % 3 == 0 { (await client.begin(request("LOGIN", nil, from: "10.0.0.\(number)"))).exchange?.cancel() }
                    return await client.begin(request("PLAIN", base64("\0alice\0secret"), from: "10.0.0.\(number)")).step
                }
            }
            for await step in group { #expect(step == .success(username: "alice")) }
        }
    }

    @Test func aCrashOfDovecotsAuthProcessIsSurvived() async throws {
        let dovecot = try DovecotHome(port: 23152)
        defer { dovecot.remove() }
        let process = try dovecot.start()
        defer { Tool.end(process) }
        let client = client(.unix(dovecot.socket))
        try await waitUntil { !client.mechanisms(tlsActive: true).isEmpty }
        let (step, exchange) = await client.begin(request("LOGIN", nil))
        #expect(step == .challenge("VXNlcm5hbWU6"))
        let child = try #require(Tool.children(of: process).first { $0.name == "auth" })
        kill(child.pid, SIGKILL)
        #expect(
            await exchange?.continue(base64("alice")) == .unavailable(reason: "Connection lost to authentication server", username: nil)
        )
        try await waitUntil { await client.begin(request("PLAIN", base64("\0alice\0secret"))).step == .success(username: "alice") }
    }
}

final class DovecotHome {
    let directory: String
    var socket: String { directory + "/auth" }

    init(port: Int) throws {
        directory = "/tmp/postern-dovecot-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try "alice:{PLAIN}secret\n".write(toFile: directory + "/users", atomically: true, encoding: .utf8)
        let configuration = """
            base_dir = \(directory)/run
            state_dir = \(directory)/state
            log_path = \(directory)/log
            protocols =
            ssl = no
            disable_plaintext_auth = no
            auth_mechanisms = plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256
            auth_failure_delay = 0
            passdb {
              driver = passwd-file
              args = scheme=plain username_format=%u \(directory)/users
            }
            userdb {
              driver = static
              args = uid=65534 gid=65534 home=/tmp
            }
            service anvil {
              unix_listener anvil-auth-penalty {
                mode = 0
              }
            }
            service auth {
              unix_listener \(directory)/auth {
                mode = 0666
              }
              inet_listener {
                port = \(port)
                address = 127.0.0.1
              }
            }
            """
        try configuration.write(toFile: directory + "/dovecot.conf", atomically: true, encoding: .utf8)
    }

    func start() throws -> Process { try Tool.start(Tool.dovecot ?? "", ["-F", "-c", directory + "/dovecot.conf"]) }

    func remove() { try? FileManager.default.removeItem(atPath: directory) }
}
