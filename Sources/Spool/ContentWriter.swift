package import NIOCore
package import SMTPCore

/// A message too long for memory on its way to its content file. Belongs to one sender at a time; no call blocks.
package final class ContentWriter: Sendable {
    package let id: QueueID
    init(id: QueueID) { self.id = id }

    /// Takes the next bytes. `completion` gets the number of bytes not yet written (for back-pressure: wait when it, or
    /// ``unwrittenBytes``, is beyond a bound) once these are, or the error that ended the message; it is called on a thread of the spool.
    package func append(_ bytes: ByteBuffer, completion: @escaping @Sendable (Result<Int, SpoolError>) -> Void) {
        completion(.failure(.closed))
    }
    /// Bytes taken and not yet written.
    package var unwrittenBytes: Int { 0 }

    /// Flushes the content, then accepts the message; the receipt is completed when both are durable. Nothing may follow.
    package func commit(_ envelope: Envelope, arrival: Double, receipt: any AcceptReceipt) { receipt.completed(.failure(.closed)) }

    /// Forgets the message and removes the file. Safe at any time before ``commit(_:arrival:receipt:)``, and again.
    package func abort() {}
}
