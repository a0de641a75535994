import MailLog
import NIOCore
import SMTPCore
import Spool

/// The line that tells what became of one recipient, in Postfix's shape: analysers pair it with the message by its queue id.
enum DeliveryLog {
    /// Seconds spent: before the relay took the message, waiting in the relay, connecting (TLS and AUTH included), transmitting.
    struct Delays: Sendable, Hashable {
        var beforeActive = 0.0
        var inQueue = 0.0
        var connecting = 0.0
        var transmitting = 0.0

        var total: Double { beforeActive + inQueue + connecting + transmitting }

        /// From the moments at which each part ended; a part that was not reached takes no time.
        init(_ delivery: Delivery, taken: NIODeadline, connected: NIODeadline?, done: NIODeadline) {
            beforeActive = max(0, delivery.queuedBefore)
            inQueue = Self.seconds(from: delivery.activated, to: taken)
            connecting = Self.seconds(from: taken, to: connected ?? done)
            transmitting = connected.map { Self.seconds(from: $0, to: done) } ?? 0
        }

        private static func seconds(from start: NIODeadline, to end: NIODeadline) -> Double {
            max(0, Double((end - start).nanoseconds) / 1e9)
        }
    }

    /// `to=<r@x>, orig_to=<a>, relay=host[addr]:port, conn_use=2, delay=0.42, delays=0.1/0.01/0.2/0.11, dsn=2.0.0, status=sent (text)`.
    static func line(
        id: QueueID,
        recipient: Recipient,
        relay: String,
        connectionUse: Int = 1,
        delays: Delays,
        result: RecipientResult
    ) -> String {
        var out = "\(id): to=<\(recipient.address)>, "
        if let original = recipient.original, original != recipient.address { out += "orig_to=<\(original)>, " }
        out += "relay=\(relay), "
        if connectionUse > 1 { out += "conn_use=\(connectionUse), " }
        out += "delay="
        append(delays.total, to: &out)
        out += ", delays="
        append(delays.beforeActive, to: &out)
        out += "/"
        append(delays.inQueue, to: &out)
        out += "/"
        append(delays.connecting, to: &out)
        out += "/"
        append(delays.transmitting, to: &out)
        out += ", dsn=\(result.dsn), status=\(result.status.rawValue) (\(result.text))"
        return out
    }

    /// At least two significant digits, at most two decimals, no trailing zeros: `0`, `0.04`, `0.12`, `1.3`, `12`, `3600`.
    static func append(_ seconds: Double, to out: inout String) {
        // A clock that was set back, or a date in the far past, must not trap the conversion.
        let bounded = min(max(seconds, 0), 1e12)
        let hundredths = Int((bounded * 100).rounded())
        if hundredths >= 1000 {
            out += String(Int(bounded.rounded()))
        } else if hundredths >= 100 {
            let tenths = Int((bounded * 10).rounded())
            out += String(tenths / 10)
            if tenths % 10 != 0 { out += ".\(tenths % 10)" }
        } else if hundredths == 0 {
            out += "0"
        } else {
            out += hundredths < 10 ? "0.0\(hundredths)" : hundredths % 10 == 0 ? "0.\(hundredths / 10)" : "0.\(hundredths)"
        }
    }
}
