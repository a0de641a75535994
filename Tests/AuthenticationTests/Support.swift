import Authentication
import Foundation
import Synchronization
import Testing

func request(_ mechanism: String, _ response: String?, from address: String = "192.0.2.1", tls: Bool = false) -> AuthenticationRequest {
    AuthenticationRequest(
        mechanism: mechanism,
        initialResponse: response,
        clientAddress: address,
        serverAddress: "127.0.0.1",
        tlsActive: tls
    )
}

/// Waits for something another thread does. Bounded; the bound is no assertion about time.
func waitUntil(_ condition: () async -> Bool) async throws {
    for _ in 0..<1000 {
        if await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("it never happened")
}

final class Words: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

final class Gate: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    func wait() { _ = semaphore.wait(timeout: .now() + 60) }
    func open() { semaphore.signal() }
}

/// Two connected stream sockets.
func socketPair() throws -> (CInt, CInt) {
    var pair: [CInt] = [0, 0]
    guard unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair) == 0 else { throw POSIXError(.EIO) }
    return (pair[0], pair[1])
}

/// A worker that answers each AUTH, CONT and CANCEL line with the lines a test gives; nil ends it.
final class ScriptedWorker: Sendable {
    let peer: CInt
    private let descriptor: CInt

    init(
        mechanisms: String = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n",
        _ answer: @escaping @Sendable (String) -> [String]?
    ) throws {
        let (mine, theirs) = try socketPair()
        descriptor = mine
        peer = theirs
        let hello = mechanisms.hasPrefix("VERSION") ? mechanisms : "VERSION\t1\t2\n" + mechanisms
        Thread.detachNewThread {
            let handle = FileHandle(fileDescriptor: mine, closeOnDealloc: true)
            func say(_ text: String) { try? handle.write(contentsOf: Data(text.utf8)) }
            signal(SIGPIPE, SIG_IGN)
            say(hello + "SPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n")
            var rest = ""
            while true {
                let data = handle.availableData
                if data.isEmpty { return }
                rest += String(decoding: data, as: UTF8.self)
                while let end = rest.firstIndex(of: "\n") {
                    let line = String(rest[..<end])
                    rest = String(rest[rest.index(after: end)...])
                    if line.hasPrefix("VERSION") || line.hasPrefix("CPID") { continue }
                    guard let answers = answer(line) else { return }
                    for line in answers { say(line + "\n") }
                }
            }
        }
    }

    /// Ends the connection; the thread sees it and goes.
    func stop() { shutdown(descriptor, CInt(SHUT_RDWR)) }
}
