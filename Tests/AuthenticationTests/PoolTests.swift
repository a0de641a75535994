import Authentication
import Foundation
import NIOCore
import NIOPosix
import Testing

/// The pool against workers written here, which answer as a test wants.
@Suite("AUTH client and its workers")
struct PoolTests {
    private func client(timeout: Int = 10, options: SASLSecurityOptions = .noanonymous, filter: MechanismFilter = .all) -> AuthClient {
        AuthClient(
            configuration: AuthClientConfiguration(
                serverName: "mx.test.example",
                securityOptions: options,
                mechanismFilter: filter,
                timeoutSeconds: timeout
            ),
            group: MultiThreadedEventLoopGroup.singleton
        )
    }

    @Test func announcesWhatOptionsAndFilterLeave() async throws {
        let client = client(options: [.noanonymous, .noplaintext], filter: try MechanismFilter(parsing: "!login, !ntlm, static:rest"))
        #expect(client.mechanisms(tlsActive: false).isEmpty)
        let worker = try ScriptedWorker(
            mechanisms: "MECH\tNTLM\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tCRAM-MD5\tdictionary\n"
        ) { _ in [] }
        client.addWorker(descriptor: worker.peer)
        try await waitUntil { !client.mechanisms(tlsActive: true).isEmpty }
        #expect(client.mechanisms(tlsActive: true) == ["PLAIN", "CRAM-MD5"])
        #expect(client.mechanisms(tlsActive: false) == ["CRAM-MD5"])
        let step = await client.begin(request("LOGIN", "YQ==", tls: true)).step
        #expect(step == .rejected(reason: "no mechanism available", username: nil))
        worker.stop()
    }

    @Test func aRequestCarriesTheSessionsFacts() async throws {
        let client = client()
        let worker = try ScriptedWorker { line in
            let id = line.split(separator: "\t")[1]
            return ["FAIL\t\(id)\treason=\(line.replacingOccurrences(of: "\t", with: "|"))"]
        }
        client.addWorker(descriptor: worker.peer)
        try await waitUntil { !client.mechanisms(tlsActive: true).isEmpty }
        let step = await client.begin(request("plain", "YQ==", tls: true)).step
        #expect(
            step
                == .rejected(
                    reason:
                        "AUTH|1|PLAIN|service=smtp|nologin|lip=127.0.0.1|rip=192.0.2.1|secured|x-security=noanonymous|x-server=mx.test.example|x-realm=|resp=YQ==",
                    username: nil
                )
        )
        worker.stop()
    }

    @Test(
        arguments: [
            ("OK\t1\tuser=alice", .success(username: "alice")), ("FAIL\t1", .rejected(reason: "(reason unavailable)", username: nil)),
            ("FAIL\t1\tuser=a\u{1}tb\treason=no", .rejected(reason: "no", username: "a?b")),
            ("FAIL\t1\ttemp\treason=later", .unavailable(reason: "later", username: nil)),
            ("FAIL\t1\tcode=temp_fail\tuser=u", .unavailable(reason: "(reason unavailable)", username: "u")),
            ("CONT\t1\tZm9v", .challenge("Zm9v")),
        ] as [(String, AuthenticationStep)]
    )
    func answers(line: String, expected: AuthenticationStep) async throws {
        let client = client()
        let worker = try ScriptedWorker { $0.hasPrefix("AUTH") ? [line] : [] }
        client.addWorker(descriptor: worker.peer)
        let (step, exchange) = await client.begin(request("PLAIN", "YQ=="))
        #expect(step == expected)
        if case .challenge = expected { #expect(exchange != nil) } else { #expect(exchange == nil) }
        worker.stop()
    }

    @Test func theBackEndsWordsReachTheLogFirst() async throws {
        let client = client()
        let worker = try ScriptedWorker { $0.hasPrefix("AUTH") ? ["FAIL\t1\treason=r\tx-log=one\tx-log=two\u{1}tx"] : [] }
        client.addWorker(descriptor: worker.peer)
        let words = Words()
        var asked = request("PLAIN", "YQ==")
        asked.log = AuthenticationLog { words.add($0) }
        _ = await client.begin(asked)
        #expect(words.all == ["one", "two\tx"])
        worker.stop()
    }

    @Test func aDeadWorkerIsUnavailable() async throws {
        let client = client()
        let worker = try ScriptedWorker { $0.hasPrefix("AUTH") ? ["CONT\t1\t"] : nil }
        client.addWorker(descriptor: worker.peer)
        let (step, exchange) = await client.begin(request("LOGIN", nil))
        #expect(step == .challenge(""))
        // It dies on the response.
        #expect(await exchange?.continue("YQ==") == .unavailable(reason: "Connection lost to authentication server", username: nil))
        // The login after it waits for the next worker.
        let next = try ScriptedWorker { _ in ["OK\t2\tuser=bob"] }
        client.addWorker(descriptor: next.peer)
        #expect(await client.begin(request("PLAIN", "YQ==")).step == .success(username: "bob"))
        next.stop()
    }

    @Test func aWorkerThatDiesBetweenStepsIsUnavailable() async throws {
        let client = client()
        let worker = try ScriptedWorker { $0.hasPrefix("AUTH") ? ["CONT\t1\t"] : [] }
        client.addWorker(descriptor: worker.peer)
        let (_, exchange) = await client.begin(request("LOGIN", nil))
        worker.stop()
        // Whether the pool has seen the end by now or sees it while the response is on its way, the answer is the same.
        #expect(await exchange?.continue("YQ==") == .unavailable(reason: "Connection lost to authentication server", username: nil))
    }

    @Test func aPeerThatSpeaksSomethingElseIsDropped() async throws {
        let client = client(timeout: 1)
        let worker = try ScriptedWorker(mechanisms: "VERSION\t9\t0\n") { _ in ["OK\t1\tuser=mallory"] }
        client.addWorker(descriptor: worker.peer)
        guard case .unavailable = await client.begin(request("PLAIN", "YQ==")).step else {
            Issue.record("believed it")
            return
        }
        #expect(client.mechanisms(tlsActive: true).isEmpty)
    }

    @Test func aStuckWorkerIsNotUsedUntilItAnswers() async throws {
        let client = client(timeout: 1)
        let gate = Gate()
        // The first request gets its answer when the gate opens, long after its deadline.
        let stuck = try ScriptedWorker { line in
            guard line.hasPrefix("AUTH") else { return [] }
            let id = line.split(separator: "\t")[1]
            if id == "1" { gate.wait() }
            return ["OK\t\(id)\tuser=late\(id)"]
        }
        client.addWorker(descriptor: stuck.peer)
        guard case .unavailable(let reason, nil) = await client.begin(request("PLAIN", "YQ==")).step else {
            Issue.record("no deadline")
            return
        }
        #expect(reason.hasPrefix("Connection lost to authentication server"))
        // A second worker takes everything meanwhile; nobody is sent to the stuck one.
        let other = try ScriptedWorker { line in
            line.hasPrefix("AUTH") ? ["OK\t\(line.split(separator: "\t")[1])\tuser=other"] : []
        }
        client.addWorker(descriptor: other.peer)
        for _ in 0..<5 { #expect(await client.begin(request("PLAIN", "YQ==")).step == .success(username: "other")) }
        other.stop()
        gate.open()
        // Once it has answered, it serves again; its late OK was for nobody.
        try await waitUntil {
            if case .success(let name) = await client.begin(request("PLAIN", "YQ==")).step {
                name.hasPrefix("late") && name != "late1"
            } else {
                false
            }
        }
        stuck.stop()
    }

    @Test func aSilentClientHoldsNoWorker() async throws {
        let client = client()
        let worker = try ScriptedWorker { line in
            let fields = line.split(separator: "\t")
            switch fields[0] {
            case "AUTH" where fields[2] == "LOGIN": return ["CONT\t\(fields[1])\tVXNlcm5hbWU6"]
            case "AUTH", "CONT": return ["OK\t\(fields[1])\tuser=u\(fields[1])"]
            default: return []
            }
        }
        client.addWorker(descriptor: worker.peer)
        var silent: [any AuthenticationExchange] = []
        for number in 0..<40 {
            let (_, exchange) = await client.begin(request("LOGIN", nil, from: "192.0.2.\(number)"))
            if let exchange { silent.append(exchange) }
        }
        #expect(silent.count == 40)
        #expect(await client.begin(request("PLAIN", "YQ==")).step == .success(username: "u41"))
        #expect(await silent[0].continue("YQ==") == .success(username: "u1"))
        worker.stop()
    }

    @Test func oneNetworkCannotHoldAllPlaces() async throws {
        let client = client()
        let worker = try ScriptedWorker { $0.hasPrefix("AUTH") ? ["CONT\t\($0.split(separator: "\t")[1])\t"] : [] }
        client.addWorker(descriptor: worker.peer)
        var held: [any AuthenticationExchange] = []
        for _ in 0..<50 {
            if let exchange = await client.begin(request("LOGIN", nil)).exchange { held.append(exchange) }
        }
        guard case .unavailable(let reason, _) = await client.begin(request("LOGIN", nil)).step else {
            Issue.record("no limit")
            return
        }
        #expect(reason.contains("192.0.2.1"))
        #expect(await client.begin(request("LOGIN", nil, from: "198.51.100.1")).step == .challenge(""))
        // A session that goes away gives its place back, by cancel or by being forgotten.
        held[0].cancel()
        held.removeLast()
        for _ in 0..<2 { #expect(await client.begin(request("LOGIN", nil)).step == .challenge("")) }
        worker.stop()
    }

    @Test func theIdlestMakesRoom() async throws {
        var limits = AuthPool.Limits()
        limits.openPerWorker = 3
        let pool = AuthPool(group: MultiThreadedEventLoopGroup.singleton, limits: limits)
        let client = AuthClient(configuration: AuthClientConfiguration(serverName: "mx", timeoutSeconds: 10), pool: pool)
        let worker = try ScriptedWorker { line in
            let fields = line.split(separator: "\t")
            return fields[0] == "AUTH" ? ["CONT\t\(fields[1])\t"] : fields[0] == "CONT" ? ["OK\t\(fields[1])\tuser=u"] : []
        }
        client.addWorker(descriptor: worker.peer)
        var open: [any AuthenticationExchange] = []
        for _ in 0..<4 {
            let (step, exchange) = await client.begin(request("LOGIN", nil))
            #expect(step == .challenge(""))
            if let exchange { open.append(exchange) }
        }
        guard open.count == 4 else { return }
        #expect(await open[0].continue("") == .unavailable(reason: "Connection lost to authentication server", username: nil))
        #expect(await open[1].continue("") == .success(username: "u"))
        #expect(await open[3].continue("") == .success(username: "u"))
        worker.stop()
    }

    @Test func manyLoginsAtOnceEachGetTheirOwnAnswer() async throws {
        let client = client()
        var workers: [ScriptedWorker] = []
        for _ in 0..<3 {
            let worker = try ScriptedWorker { line in
                let fields = line.split(separator: "\t")
                guard fields[0] == "AUTH", let response = fields.last?.dropFirst(5) else { return [] }
                return ["OK\t\(fields[1])\tuser=\(response)"]
            }
            workers.append(worker)
            client.addWorker(descriptor: worker.peer)
        }
        await withTaskGroup(of: Bool.self) { group in
            for number in 0..<200 {
                group.addTask {
                    let step = await client.begin(request("PLAIN", "u\(number)", from: "10.0.\(number % 7).\(number)")).step
                    return step == .success(username: "u\(number)")
                }
            }
            for await isRight in group { #expect(isRight) }
        }
        for worker in workers { worker.stop() }
    }

    @Test func noDovecotIsUnavailableAtOnce() async throws {
        let client = AuthClient(
            configuration: AuthClientConfiguration(serverName: "mx"),
            dovecotSocket: .unix("/nonexistent/auth"),
            group: MultiThreadedEventLoopGroup.singleton
        )
        for _ in 0..<3 {
            #expect(
                await client.begin(request("PLAIN", "YQ==")).step
                    == .unavailable(reason: "Can't connect to authentication server", username: nil)
            )
        }
    }
}
