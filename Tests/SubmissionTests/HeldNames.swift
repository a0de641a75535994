import Resolver
import SMTPCore
import Synchronization

/// A name service that does not answer before it is told to, so that a client can speak before the greeting.
final class HeldNames: NameService {
    private let isReleased = Mutex(false)

    func release() { isReleased.withLock { $0 = true } }

    func addresses(of host: String) async -> NameAnswer<[IPAddress]> { .noSuchDomain }
    func mailExchangers(of domain: String) async -> NameAnswer<[MailExchanger]> { .noSuchDomain }

    func peerName(of address: IPAddress) async -> PeerName {
        for _ in 0..<2000 where !isReleased.withLock({ $0 }) { try? await Task.sleep(for: .milliseconds(10)) }
        // What the client wrote is in the socket by now; the loop gets time to read it.
        try? await Task.sleep(for: .milliseconds(200))
        return .unknown
    }
}
