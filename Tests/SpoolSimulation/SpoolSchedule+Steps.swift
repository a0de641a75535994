import NIOCore
import PosternTesting
import SMTPCore
import Spool

// What a life consists of.

extension SpoolSchedule {
    func act(_ spool: Spool) throws {
        switch Int.random(in: 0..<24, using: &random) {
        case 0..<6: try accept(spool, size: Int.random(in: 0...5_000, using: &random))
        case 6: try accept(spool, size: Int.random(in: 5_001...20_000, using: &random))
        case 7..<13: try report(spool)
        case 13: administer(spool, .hold, .hold)
        case 14: administer(spool, chance(3) ? .requeue : .release, .release)
        case 15: if chance(3) { administer(spool, .delete, .delete) } else { administer(spool, .flush, nil) }
        case 16: if chance(4) { administerAll(spool) }
        case 17: clock.advance(Double(Int.random(in: 0...10, using: &random)))
        case 18: if faults == .random, chance(6) { setClock() }
        case 19: if faults == .random { changeSpace() }
        default: turn(spool)
        }
    }

    func turn(_ spool: Spool) {
        spool.turn()
        // What one fault-free turn has taken up is durable.
        if disk.failures == failuresBefore, !disk.isStopped, !hasStopped { model.settled() }
    }

    private func setClock() {
        let seconds = Double(Int.random(in: -5_000...5_000, using: &random))
        trace("clock set by \(seconds)")
        clock.step(seconds)
        tally.clockSteps += 1
        if abs(seconds) > 60 { clockWasSet = true }
    }

    private func changeSpace() {
        disk.capacity = chance(3) ? disk.used + Int.random(in: 0...30_000, using: &random) : 1 << 30
        trace("space left: \(disk.capacity - disk.used)")
        clock.advance(1)
    }

    private func reserve(_ spool: Spool) throws -> QueueID? {
        guard let id = try? spool.reserveQueueID() else { return nil }
        try model.reserved(id)
        return id
    }

    private func accept(_ spool: Spool, size: Int) throws {
        guard let id = try reserve(spool) else { return }
        let recipients = (0..<Int.random(in: 1...3, using: &random)).map { "r\($0)@example.org" }
        let arrival = clock.wallTime()
        model.handedIn(id, size: size, to: recipients, arrival: arrival)
        let receipt = RecordingReceipt { [self] result in answered(id, result) }
        if size > options.inlineLimit, chance(2) {
            try acceptLarge(spool, id, size, recipients, receipt)
        } else {
            let message = IncomingMessage(id: id, envelope: envelope(to: recipients), content: content(id, size), arrival: arrival)
            spool.accept(message, receipt: receipt)
        }
        if chance(2) { turn(spool) }
    }

    private func acceptLarge(_ spool: Spool, _ id: QueueID, _ size: Int, _ recipients: [String], _ receipt: RecordingReceipt) throws {
        let writer = spool.beginLarge(id)
        var bytes = content(id, size)
        while let part = bytes.readSlice(length: min(bytes.readableBytes, 3_000)), part.readableBytes > 0 {
            writer.append(part) { _ in }
        }
        guard chance(6) else { return writer.commit(envelope(to: recipients), arrival: clock.wallTime(), receipt: receipt) }
        writer.abort()
        model.refused(id, isFinal: true)
    }

    private func answered(_ id: QueueID, _ result: Result<Void, SpoolError>) {
        switch result {
        case .success:
            trace("accepted \(id)")
            newestTime = max(newestTime, clock.wallTime())
            model.acknowledged(id)
        case .failure(let error):
            trace("refused \(id): \(error)")
            // A refusal is final unless the spool has said before that it cannot write at all, or has stopped in the middle.
            takeEvents()
            model.refused(id, isFinal: !disk.isStopped && !hasStopped)
        }
    }

    /// The spool hands a message to the relay.
    func activated(_ job: DeliveryJob) {
        trace("active \(job.id)")
        jobs.append(job)
        let recipients = job.envelope.recipients.map(\.address.description)
        do {
            let isSure = tally.clockSteps == 0 && !hasHeld
            try model.activated(job.id, to: recipients, isToldOfDelay: job.isToldOfDelay, mayBeDuplicate: isSure ? job.mayBeDuplicate : nil)
            // The record that is newer than the clock may have gone with its segment; while the first one is there, none has.
            let isBehind = clock.wallTime() < newestTime && disk.names(in: "/q/journal").contains("00000001.log")
            if job.isExpired, clockWasSet || isBehind {
                throw BrokenPromise("\(job.id) is given up for its age by a clock that cannot be trusted")
            }
            if let bytes = try? read(job.content), bytes != content(job.id, model.size(job.id)) {
                throw BrokenPromise("\(job.id) is delivered with other content than was accepted")
            }
        } catch {
            if broken == nil { broken = error as? BrokenPromise }
        }
    }

    private func report(_ spool: Spool) throws {
        guard !jobs.isEmpty else { return }
        let job = jobs.remove(at: Int.random(in: 0..<jobs.count, using: &random))
        var left: [String] = []
        var outcomes: [RecipientOutcome] = []
        for recipient in job.envelope.recipients {
            if chance(3) {
                outcomes.append(.deferred("later"))
                left.append(recipient.address.description)
            } else {
                outcomes.append(chance(4) ? .bounced("no") : .delivered)
            }
        }
        // A bounce and a copy for the postmaster with the end of the message or before it; a report of its delay while someone is left.
        let tellsOfDelay = !left.isEmpty && !job.isToldOfDelay && chance(2)
        var notices: [GeneratedMessage] = []
        for _ in 0..<(tellsOfDelay || chance(left.isEmpty ? 2 : 4) ? Int.random(in: 1...3, using: &random) : 0) {
            guard let id = try reserve(spool) else { continue }
            notices.append(GeneratedMessage(id: id, envelope: envelope(from: "", to: ["sender@example.com"]), content: content(id, 700)))
            model.handedIn(id, size: 700, to: ["sender@example.com"], arrival: clock.wallTime())
        }
        trace("report \(job.id): \(left) left, notices \(notices.map(\.id)), tells of delay \(tellsOfDelay)")
        if tellsOfDelay { tally.delaysTold += 1 }
        model.reported(job.id, left: left, notices: notices.map(\.id), tellsOfDelay: tellsOfDelay)
        spool.record(DeliveryReport(id: job.id, outcomes: outcomes, bounces: notices, tellsOfDelay: tellsOfDelay))
        if chance(2) { turn(spool) }
    }

    private func administer(_ spool: Spool, _ operation: QueueOperation, _ meaning: SpoolModel.Operation?) {
        guard let id = (chance(10) ? model.ids : model.unfinished).randomElement(using: &random) else { return }
        trace("\(operation) \(id)")
        if operation == .hold { hasHeld = true }
        if let meaning { model.asked(meaning, id) }
        spool.perform(operation, on: .message(id)) { [self] result in
            guard (try? result.get()) == 1, let meaning else { return }
            model.performed(meaning, id)
        }
        turn(spool)
    }

    /// On all at once, in pieces; which ones it has reached is seen after the next restart.
    private func administerAll(_ spool: Spool) {
        let (operation, meaning): (QueueOperation, SpoolModel.Operation?) =
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<3: (.hold, .hold)
            case 3..<7: (.release, .release)
            case 7: (.delete, .delete)
            default: (.flush, nil)
            }
        trace("\(operation) all")
        if operation == .hold { hasHeld = true }
        if let meaning { for id in model.unfinished { model.asked(meaning, id) } }
        spool.perform(operation, on: .all) { _ in }
        turn(spool)
    }

    // MARK: Looking

    /// Takes in what the spool has said.
    func note(_ spool: Spool) throws {
        takeEvents()
        if let broken { throw broken }
    }

    private func takeEvents() {
        for event in events.take() {
            switch event {
            case .removed(let id):
                trace("removed \(id)")
                model.removed(id)
            case .acceptingStopped(let text):
                trace("stopped: \(text)")
                hasStopped = true
            case .damaged(let text):
                trace("damaged: \(text)")
            default: break
            }
        }
    }

    func check(_ spool: Spool) throws {
        let damages = try spool.status().damages
        var mayMiss: Bool { hasReadFaults && disk.failures > failuresBefore }
        guard damages.isEmpty || mayMiss else { throw BrokenPromise("damage on a sound disk: \(damages)") }
        var seen: [QueueID: SpoolModel.Seen] = [:]
        for listing in try spool.list(limit: 10_000) {
            let bytes = try? read(spool.message(listing.id).content)
            if bytes == nil, !mayMiss, !disk.isStopped { throw BrokenPromise("\(listing.id) cannot be read") }
            seen[listing.id] = SpoolModel.Seen(
                recipients: listing.recipients.map(\.address.description),
                isToldOfDelay: listing.isToldOfDelay,
                isHeld: listing.state == .hold,
                isWhole: bytes.map { $0 == content(listing.id, model.size(listing.id)) }
            )
        }
        trace("check: \(seen.keys.sorted())")
        guard !disk.isStopped, !mayMiss else { return }
        try model.compare(seen)
    }
}
