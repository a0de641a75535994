import NIOCore
import SMTPCore

// Who is due, who is in delivery.

extension SpoolEngine {
    /// Finds a message its place: in the line if it is due, else an appointment.
    mutating func enqueue(_ id: QueueID) {
        guard let entry = index[id], !entry.isActive, !entry.isKept, !entry.isReady else { return }
        let delay = backOff.delay(until: entry.nextAttempt, now: wall)
        guard delay > 0 else { return makeReady(id) }
        let deadline = monotonic + delay
        index.update(id) { $0.deadline = deadline }
        schedule.add(id, at: deadline)
    }

    mutating func makeReady(_ id: QueueID) {
        guard let entry = index[id], !entry.isActive, !entry.isKept, !entry.isReady else { return }
        index.update(id) {
            $0.isReady = true
            $0.deadline = 0
        }
        schedule.appendReady(id)
    }

    /// Every `queue_run_delay`: deferred messages whose time has come get in line.
    mutating func runQueue() {
        guard isDelivering, monotonic >= nextRun else { return }
        nextRun = monotonic + max(options.queueRunDelay, 1)
        while let due = schedule.popDue(monotonic) {
            // An appointment that no longer stands has another time, or none.
            if index[due.id]?.deadline == due.deadline { makeReady(due.id) }
        }
    }

    /// Hands messages out while there is room among the active.
    mutating func activate() {
        guard isDelivering, !index.endedCleanly else { return }
        while activeCount + hurried.count < options.messageActiveLimit, let id = schedule.popReady() {
            guard let entry = index[id], entry.isReady else { continue }
            if entry.nextAttempt > wall, !entry.isHurried, !entry.isKept {
                hurried.append(id)
                continue
            }
            index.update(id) { $0.isReady = false }
            guard !entry.isActive, !entry.isKept else { continue }
            deliver(id, entry)
        }
    }

    /// Who is tried before the time that the journal tells must be in it as such: after a crash nobody could tell otherwise that the
    /// message may have been in delivery.
    mutating func hurry() {
        guard !hurried.isEmpty, isDelivering, stoppedUntil.map({ monotonic >= $0 }) ?? true else { return }
        var batch = Batch()
        for id in hurried {
            guard let entry = index[id], entry.isReady else { continue }
            if entry.isKept {
                index.update(id) { $0.isReady = false }
            } else {
                batch.add(JournalFact.release(id).encoded(), .release(id), .hurry(id))
            }
        }
        hurried = []
        guard !batch.items.isEmpty else { return }
        commit(batch)
        activate()
    }

    private mutating func deliver(_ id: QueueID, _ entry: QueueEntry) {
        guard let stored = stored(id) else { return giveUpReading(id, .damaged("\(id): its journal segment is missing")) }
        index.update(id) { $0.isActive = true }
        activeCount += 1
        let age = age(of: entry)
        guard let message = warm[id] else { return effects.append(.load(stored, age)) }
        effects.append(
            .deliver(
                DeliveryJob(
                    id: id,
                    envelope: message.envelope,
                    content: MemoryContent(bytes: message.content),
                    arrival: entry.arrival,
                    attempts: Int(entry.attempts),
                    isExpired: age.isExpired,
                    mayBeDuplicate: entry.isSuspect,
                    agesFrom: age.countsFrom
                )
            )
        )
    }

    private func age(of entry: QueueEntry) -> MessageAge {
        let lifetime = entry.senderIsNull ? options.bounceQueueLifetime : options.maximalQueueLifetime
        let start = clockTrust.ageCounts(from: entry.arrival, wall: wall)
        return MessageAge(countsFrom: start, isExpired: wall - start >= lifetime)
    }

    /// A jump of the wall clock makes the age of what is queued a guess, whichever of the two readings was wrong.
    mutating func noteClock() {
        guard clockTrust.note(wall: wall, monotonic: monotonic) else { return }
        clockJumped = true
        effects.append(.event(.clockNotTrusted("the clock has been set; nothing in the queue expires for the time of a queue lifetime")))
    }

    /// A message that cannot be read is neither delivered nor removed: it stays, and so does everything on the disk.
    mutating func giveUpReading(_ id: QueueID, _ error: SpoolError) {
        if removedInDelivery.removeValue(forKey: id) != nil {
            activeCount -= 1
            return
        }
        guard let entry = index[id] else { return }
        if entry.isActive { activeCount -= 1 }
        index.update(id) {
            $0.isActive = false
            $0.isUnreadable = true
        }
        noteDamage(error.description, id)
    }

    /// The same for one whose content was found damaged by the relay, which will report an attempt that came to nothing.
    mutating func keepUnreadable(_ id: QueueID, _ error: SpoolError) {
        guard index[id] != nil else { return }
        index.update(id) { $0.isUnreadable = true }
        noteDamage(error.description, id)
    }

    mutating func noteDamage(_ text: String, _ id: QueueID) {
        guard !damages.contains(where: { $0.text == text }) else { return }
        var damage = SpoolDamage(text, id: id)
        damage.isAcknowledged = acknowledgements.covers(damage)
        damages.append(damage)
        if !damage.isAcknowledged { effects.append(.event(.damaged(text))) }
    }
}
