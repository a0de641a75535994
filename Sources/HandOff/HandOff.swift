package import NIOCore
package import SMTPCore

/// Why a message was not taken. Each becomes a 4xx reply; the text is for the log.
package enum HandOffFailure: Error, Sendable, Hashable {
    /// The disk is full or below `queue_minfree`: `452 4.3.1 Insufficient system storage`.
    case insufficientStorage
    /// A write or flush failed: `451 4.3.0 Error: queue file write error`.
    case writeError(String)
    /// The queue did not answer within its bound, or went away: `451 4.3.0 Error: queue file write error`.
    case unavailable(String)
}

/// The narrow waist between an SMTP session and whatever keeps its messages: our queue, a proxy filter, or Postfix's cleanup(8).
///
/// A value of this type belongs to one event loop and is used on that loop only.
package protocol MessageHandOff: AnyObject {
    /// A fresh queue id, known before any record is written; waits only while the queue role restarts.
    func reserveQueueID() async throws(HandOffFailure) -> QueueID
    /// Whether new mail would be refused for want of space (`queue_minfree`), as last reported by the queue.
    var storageIsShort: Bool { get }
    /// Starts a message whose content follows. Nothing is visible to anyone until ``MessageTransfer/commit()`` returned.
    func begin(_ id: QueueID, _ envelope: Envelope) -> any MessageTransfer
    /// Has deferred mail with a recipient in `domain` tried now, without waiting for it (ETRN, RFC 1985). False when the queue cannot be asked.
    func flush(domain: String) -> Bool
}

/// One message on its way into the queue.
package protocol MessageTransfer: AnyObject {
    /// Content exactly as it is to be relayed, CRLF line ends, without dot-stuffing. Returns once it is taken; waits for room
    /// (back-pressure), so that a large message never sits in memory whole.
    func write(_ bytes: ByteBuffer) async throws(HandOffFailure)
    /// Bytes of memory in which content waits here for more of it.
    var heldBytes: Int { get }
    /// Memory is short: passes on what is held, so that it takes none in this process.
    func relieve() async throws(HandOffFailure)
    /// Replaces the envelope with which the message was begun; before ``commit()``.
    func amend(_ envelope: Envelope)
    /// When this returns, the message and its envelope are on stable storage.
    func commit() async throws(HandOffFailure)
    /// Forgets the message; safe at any time before `commit`.
    func abort()
}

extension MessageTransfer {
    package var heldBytes: Int { 0 }
    package func relieve() async throws(HandOffFailure) {}
}
