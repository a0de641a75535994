import Resolver
import SMTPCore

/// A name service that takes its time, so that a client can speak before the greeting.
struct SlowNames: NameService {
    func addresses(of host: String) async -> NameAnswer<[IPAddress]> { .noSuchDomain }
    func mailExchangers(of domain: String) async -> NameAnswer<[MailExchanger]> { .noSuchDomain }

    func peerName(of address: IPAddress) async -> PeerName {
        try? await Task.sleep(for: .milliseconds(300))
        return .unknown
    }
}
