import COpenSSL
import Glibc
import Synchronization

/// The keys of session tickets, shared by all contexts, loops and, handed on by the supervisor, all generations of the smtpd role: a ticket
/// is good wherever the client comes back. The first key seals; all of them open, so that a rotation ends no session early.
package enum TLSTicketKeys {
    /// Bytes of one key: 16 of name, 32 for AES-256-CBC, 32 for HMAC-SHA-256.
    package static let length = 80
    /// Keys that are kept; older ones are forgotten.
    package static let maximumCount = 4

    private static let keys = Mutex<[[UInt8]]>([])

    /// Goes on with these keys, newest first. False, with nothing changed, if they are not 1 to ``maximumCount`` keys of ``length`` bytes.
    @discardableResult
    package static func install(_ new: [[UInt8]]) -> Bool {
        guard (1...maximumCount).contains(new.count), new.allSatisfy({ $0.count == length }) else { return false }
        keys.withLock { $0 = new }
        return true
    }

    /// The key to seal with. A process that was given none makes one of its own.
    static var current: [UInt8]? {
        keys.withLock { keys in
            if keys.isEmpty {
                var key = [UInt8](repeating: 0, count: length)
                guard unsafe RAND_bytes(&key, CInt(length)) == 1 else { return nil }
                keys = [key]
            }
            return keys.first
        }
    }

    /// The key of this name, and whether it is the current one.
    static func find(_ name: [UInt8]) -> (key: [UInt8], isCurrent: Bool)? {
        keys.withLock { keys in
            keys.firstIndex { $0.prefix(16).elementsEqual(name) }.map { (keys[$0], $0 == 0) }
        }
    }
}

extension ContextBuilder {
    /// Seals and opens tickets with ``TLSTicketKeys`` instead of a key that only this context knows.
    func shareTicketKeys() {
        unsafe SSL_CTX_set_tlsext_ticket_key_evp_cb(pointer) { _, name, iv, cipher, mac, isSealing in
            guard let name = unsafe name, let iv = unsafe iv else { return -1 }
            if isSealing != 0 {
                guard let key = TLSTicketKeys.current, unsafe RAND_bytes(iv, 16) == 1 else { return -1 }
                unsafe name.update(from: Array(key[..<16]), count: 16)
                return unsafe postern_ticket_init(key, iv, cipher, mac, 1) == 1 ? 1 : -1
            }
            let wanted = unsafe Array(UnsafeBufferPointer(start: name, count: 16))
            guard let (key, isCurrent) = TLSTicketKeys.find(wanted) else { return 0 }
            guard unsafe postern_ticket_init(key, iv, cipher, mac, 0) == 1 else { return -1 }
            return isCurrent ? 1 : 2
        }
    }
}
