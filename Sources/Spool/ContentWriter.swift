package import NIOCore
package import SMTPCore
import Synchronization

/// A message too long for memory on its way to its content file. Belongs to one sender at a time; no call blocks.
package final class ContentWriter: Sendable {
    private enum Step {
        case append(ByteBuffer, @Sendable (Result<Int, SpoolError>) -> Void)
        case commit(Envelope, arrival: Double, any AcceptReceipt)
        case abort
    }

    private struct State {
        var steps: [Step] = []
        var unwritten = 0
        var isRunning = false
        /// Nothing may follow a commit or an abort.
        var isEnded = false
    }

    /// What the worker knows; one worker at a time.
    private struct Progress {
        var file: (any SpoolFile)?
        /// Flushes of the directory that had failed before the file was made.
        var failedFlushes = 0
        var written = 0
        var checksums: [UInt32] = []
        /// Of the block that is not yet whole.
        var partial: UInt32 = 0
        var error: SpoolError?
    }

    package let id: QueueID
    private let core: SpoolCore
    private let state = Mutex(State())
    private let progress = Mutex(Progress())

    init(id: QueueID, core: SpoolCore) {
        self.id = id
        self.core = core
    }

    /// Takes the next bytes. `completion` gets the number of bytes not yet written (for back-pressure: wait when it, or
    /// ``unwrittenBytes``, is beyond a bound) once these are, or the error that ended the message; it is called on a thread of the spool.
    package func append(_ bytes: ByteBuffer, completion: @escaping @Sendable (Result<Int, SpoolError>) -> Void) {
        if !submit(.append(bytes, completion), adding: bytes.readableBytes) { completion(.failure(.closed)) }
    }

    /// Bytes taken and not yet written.
    package var unwrittenBytes: Int { state.withLock { $0.unwritten } }

    /// Flushes the content, then accepts the message; the receipt is completed when both are durable. Nothing may follow.
    package func commit(_ envelope: Envelope, arrival: Double, receipt: any AcceptReceipt) {
        if !submit(.commit(envelope, arrival: arrival, receipt), ends: true) { receipt.completed(.failure(.closed)) }
    }

    /// Forgets the message and removes the file. Safe at any time before ``commit(_:arrival:receipt:)``, and again.
    package func abort() { _ = submit(.abort, ends: true) }

    private func submit(_ step: Step, adding bytes: Int = 0, ends: Bool = false) -> Bool {
        let (isTaken, starts) = state.withLock { state in
            guard !state.isEnded else { return (false, false) }
            state.steps.append(step)
            state.unwritten += bytes
            state.isEnded = ends
            defer { state.isRunning = true }
            return (true, !state.isRunning)
        }
        if starts, !core.pool.submit({ [self] in work() }) {
            // The spool was closed under the sender: nothing is written any more, and everyone who waits hears of it.
            progress.withLock { $0.error = .closed }
            work()
        }
        return isTaken
    }

    /// Does the steps in order until there are none left.
    private func work() {
        while true {
            let steps = state.withLock { state in
                defer { state.steps = [] }
                if state.steps.isEmpty { state.isRunning = false }
                return state.steps
            }
            guard !steps.isEmpty else { return }
            for step in steps { perform(step) }
        }
    }

    private func perform(_ step: Step) {
        switch step {
        case .append(let bytes, let completion):
            let error = progress.withLock { write(bytes, &$0) }
            let left = state.withLock { state in
                state.unwritten -= bytes.readableBytes
                return state.unwritten
            }
            completion(error.map { .failure($0) } ?? .success(left))
        case .commit(let envelope, let arrival, let receipt):
            finish(envelope, arrival, receipt)
        case .abort:
            progress.withLock { progress in
                remove(&progress)
                progress.error = .closed
            }
        }
    }

    private func write(_ bytes: ByteBuffer, _ progress: inout Progress) -> SpoolError? {
        if let error = progress.error { return error }
        do throws(SpoolError) {
            let file = try open(&progress)
            guard core.contentRoom.hasRoom(for: bytes.readableBytes) else { throw .insufficientStorage }
            do throws(FileSystemError) { try file.write([bytes], at: progress.written) } catch { throw SpoolError(writing: error) }
        } catch {
            // What it took is given back at once, whenever its sender comes to an end.
            remove(&progress)
            progress.error = error
            return error
        }
        count(bytes, &progress)
        return nil
    }

    private func open(_ progress: inout Progress) throws(SpoolError) -> any SpoolFile {
        if let file = progress.file { return file }
        if case .refused(let isFirst) = core.contentRoom.takePlace() {
            if isFirst { core.observer.spoolEvent(.housekeepingFailed("too many large messages at the same time: some are refused")) }
            throw .insufficientStorage
        }
        progress.failedFlushes = core.contentFlushes.failures
        do throws(FileSystemError) {
            let file = try core.fileSystem.create(core.paths.content(id))
            progress.file = file
            return file
        } catch {
            core.contentRoom.returnPlace()
            throw SpoolError(writing: error)
        }
    }

    private func close(_ progress: inout Progress) {
        guard progress.file != nil else { return }
        progress.file = nil
        core.contentRoom.returnPlace()
    }

    /// Closes and removes the file, if it is this message's: one that was there before is another's.
    private func remove(_ progress: inout Progress) {
        if progress.file != nil { try? core.fileSystem.unlink(core.paths.content(id)) }
        close(&progress)
    }

    /// Continues the checksums of the blocks.
    private func count(_ bytes: ByteBuffer, _ progress: inout Progress) {
        var bytes = bytes
        while bytes.readableBytes > 0 {
            let room = MessageRecord.blockLength - progress.written % MessageRecord.blockLength
            guard let part = bytes.readSlice(length: min(room, bytes.readableBytes)) else { return }
            progress.partial = crc32c(part, continuing: progress.partial)
            progress.written += part.readableBytes
            if progress.written % MessageRecord.blockLength == 0 {
                progress.checksums.append(progress.partial)
                progress.partial = 0
            }
        }
    }

    private func finish(_ envelope: Envelope, _ arrival: Double, _ receipt: any AcceptReceipt) {
        let result: Result<MessageRecord, SpoolError> = progress.withLock { progress in
            if let error = progress.error { return .failure(error) }
            do throws(SpoolError) {
                let file = try open(&progress)
                do throws(FileSystemError) { try file.sync() } catch { throw .writeFailed(error.description) }
            } catch {
                progress.error = error
                return .failure(error)
            }
            if progress.written % MessageRecord.blockLength != 0 { progress.checksums.append(progress.partial) }
            return .success(MessageRecord(newMessage: envelope, size: progress.written, checksums: progress.checksums, arrival: arrival))
        }
        switch result {
        case .failure(let error):
            progress.withLock { remove(&$0) }
            receipt.completed(.failure(error))
        case .success(let record):
            let fact = JournalFact.message(id, record, isInFile: true)
            core.accept(
                PendingAccept(
                    id: id,
                    record: fact.encoded(),
                    fact: fact,
                    envelope: envelope,
                    content: nil,
                    failedFlushes: progress.withLock { $0.failedFlushes },
                    receipt: receipt
                )
            )
        }
        progress.withLock { close(&$0) }
    }
}

extension SpoolError {
    fileprivate init(writing error: FileSystemError) {
        self = error.isOutOfSpace ? .insufficientStorage : .writeFailed(error.description)
    }
}
