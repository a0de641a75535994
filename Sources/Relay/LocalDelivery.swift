import MailLog
import NIOCore
import SMTPCore

/// The transports that need no connection: error(8) with its two names, and discard(8).
enum LocalDelivery {
    static func perform(_ delivery: Delivery, isUnknown: Bool, log: MailLog) {
        let attempt = DeliveryAttempt(delivery, log: log.with(tag: delivery.transport.logTag))
        attempt.settleAll(result(of: delivery, isUnknown: isUnknown), relay: "none")
        attempt.finish()
    }

    private static func result(of delivery: Delivery, isUnknown: Bool) -> RecipientResult {
        if isUnknown { return .failed(DeliveryFailure(EnhancedStatusCode(4, 3, 0), "mail transport unavailable")) }
        if case .discard = delivery.transport.kind {
            let (dsn, text) = split(delivery.nextHop, default: EnhancedStatusCode(2, 0, 0))
            return .sent(dsn, text)
        }
        // error(8) looks at the name it was started under: "retry" is for mail that is to be tried again.
        let isRetry = delivery.transport.name == "retry"
        let (dsn, text) = split(delivery.nextHop, default: isRetry ? EnhancedStatusCode(4, 0, 0) : EnhancedStatusCode(5, 0, 0))
        return .failed(DeliveryFailure(dsn, text))
    }

    /// `5.1.1 text` or `text`. A status of another class than the transport's is turned into that class.
    private static func split(_ nextHop: String, default fallback: EnhancedStatusCode) -> (EnhancedStatusCode, String) {
        let parts = nextHop.split(separator: " ", maxSplits: 1)
        if let first = parts.first, var dsn = EnhancedStatusCode(first) {
            dsn.class = fallback.class
            return (dsn, parts.count > 1 ? String(parts[1].trimmingPrefix(while: { $0 == " " })) : "")
        }
        return (fallback, nextHop)
    }
}
