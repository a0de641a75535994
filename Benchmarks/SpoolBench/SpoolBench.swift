import Glibc
import NIOCore
import SMTPCore
import Spool
import Synchronization

// A queue of a million messages, measured: `spool-bench fill DIR COUNT` makes it, `spool-bench measure DIR` opens it and prints figures.
// Benchmarks/million.sh runs both with a cold cache in between.

let size = 4_096

func now() -> Double { SystemClock().monotonicTime() }

func say(_ text: String) {
    print(text)
    fflush(nil)
}

/// Bytes of this process in memory.
func residentBytes() -> Int {
    guard let file = unsafe fopen("/proc/self/status", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while unsafe fgets(&line, 256, file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if text.hasPrefix("VmRSS:") { return (Int(text.split(separator: " ").dropFirst().first ?? "") ?? 0) * 1_024 }
    }
    return 0
}

func rounded(_ value: Double, _ digits: Int = 2) -> String {
    let factor = digits == 0 ? 1.0 : digits == 1 ? 10 : digits == 2 ? 100 : 1_000
    let scaled = (value * factor).rounded() / factor
    return digits == 0 ? String(Int(scaled)) : "\(scaled)"
}

final class Observer: SpoolObserver {
    let removed = Atomic<Int>(0)

    func spoolEvent(_ event: SpoolEvent) {
        switch event {
        case .removed: removed.add(1, ordering: .relaxed)
        case .damaged(let text), .segmentAbandoned(let text), .acceptingStopped(let text), .housekeepingFailed(let text): say(text)
        default: break
        }
    }
}

final class Receipt: AcceptReceipt {
    let outstanding: Atomic<Int>
    let failed = Atomic<Int>(0)

    init() { outstanding = Atomic(0) }

    func completed(_ result: Result<Void, SpoolError>) {
        if case .failure(let error) = result {
            failed.add(1, ordering: .relaxed)
            say("accept failed: \(error)")
        }
        outstanding.subtract(1, ordering: .relaxed)
    }
}

func fill(_ directory: String, _ count: Int) throws {
    let spool = try Spool.open(directory: directory, options: SpoolOptions(), observer: Observer())
    let line = "A line of text that is as long as lines of text in messages are, on the whole.\r\n"
    var content = ByteBuffer(string: "Subject: one of many\r\n\r\n")
    while content.readableBytes < size { content.writeString(line) }
    content = content.getSlice(at: 0, length: size) ?? content
    let receipt = Receipt()
    let start = now()
    for number in 0..<count {
        while receipt.outstanding.load(ordering: .relaxed) > 4_000 { usleep(200) }
        let envelope = Envelope(
            sender: Address(localPart: "sender\(number % 1_000)", domain: "example.com"),
            recipients: [Recipient(address: Address(localPart: "recipient\(number)", domain: "domain\(number % 5_000).example.net"))]
        )
        receipt.outstanding.add(1, ordering: .relaxed)
        let id = try spool.reserveQueueID()
        let arrival = SystemClock().wallTime()
        spool.accept(IncomingMessage(id: id, envelope: envelope, content: content, arrival: arrival), receipt: receipt)
    }
    while receipt.outstanding.load(ordering: .relaxed) > 0 { usleep(1_000) }
    let status = try spool.status()
    let seconds = now() - start
    say(
        "filled: \(count) messages in \(rounded(seconds)) s, \(rounded(Double(count) / seconds, 0))/s, \(status.flushes) flushes, "
            + "\(status.segments) segments, \(rounded(Double(status.journalBytes) / 1e9)) GB"
    )
    // Not closed: the measured start is one after a crash.
    exit(0)
}

/// Reads each message as a relay would, delivers four of five, and has the fifth tried again much later.
final class Agent: DeliveryAgent {
    let spool: Spool
    let handled = Atomic<Int>(0)

    init(_ spool: Spool) { self.spool = spool }

    func deliver(_ job: DeliveryJob) {
        let number = handled.add(1, ordering: .relaxed).newValue
        do { _ = try job.content.read(offset: 0, length: job.content.size) } catch { say("\(error)") }
        let outcome: RecipientOutcome = number % 5 == 0 ? .deferred("later") : .delivered
        spool.record(DeliveryReport(id: job.id, outcomes: job.envelope.recipients.map { _ in outcome }))
    }
}

func measure(_ directory: String, seconds: Int) throws {
    let before = residentBytes()
    var start = now()
    let observer = Observer()
    var options = SpoolOptions()
    options.minimalBackoff = 4_000
    let spool = try Spool.open(directory: directory, options: options, observer: observer)
    say("start: \(rounded(now() - start)) s")
    let status = try spool.status()
    let count = status.ready + status.deferred + status.held
    let grown = residentBytes() - before
    say("messages: \(count) in \(status.segments) segments, \(rounded(Double(status.journalBytes) / 1e9)) GB")
    say("memory: \(rounded(Double(grown) / 1e6, 0)) MB more, \(count > 0 ? grown / count : 0) bytes each")
    start = now()
    let page = try spool.list(limit: 500)
    say("first page of the list (\(page.count) messages): \(rounded(now() - start, 3)) s")
    let middle = QueueID(rawValue: (page.first?.id.rawValue ?? 0) + UInt64(count / 2))
    start = now()
    say("a page in the middle (\(try spool.list(after: middle, limit: 500).count) messages): \(rounded(now() - start, 3)) s")
    var times: [Double] = []
    for victim in try spool.list(after: middle, limit: 51) {
        start = now()
        _ = try spool.perform(.delete, on: .message(victim.id))
        times.append((now() - start) * 1_000)
    }
    // The first one begins a segment, which takes three more flushes.
    let first = times.isEmpty ? 0 : times.removeFirst()
    times.sort()
    say(
        "delete one: first \(rounded(first)) ms; of \(times.count) more: median \(rounded(times[times.count / 2])) ms, longest "
            + "\(rounded(times.last ?? 0)) ms"
    )
    let agent = Agent(spool)
    let removedBefore = observer.removed.load(ordering: .relaxed)
    spool.start(agent: agent)
    var last = (handled: 0, removed: removedBefore)
    for second in 1...seconds {
        sleep(1)
        let handled = agent.handled.load(ordering: .relaxed)
        let removed = observer.removed.load(ordering: .relaxed)
        start = now()
        let status = try spool.status()
        say(
            "second \(second): \(handled - last.handled) attempts, \(removed - last.removed) gone; \(status.segments) segments, "
                + "\(rounded(Double(status.journalBytes) / 1e9)) GB, \(residentBytes() / 1_000_000) MB of memory"
        )
        last = (handled, removed)
        if status.ready == 0, status.active == 0 { break }
    }
    start = now()
    spool.close()
    say("close: \(rounded(now() - start)) s")
}
