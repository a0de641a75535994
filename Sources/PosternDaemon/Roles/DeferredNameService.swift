import Resolver
import SMTPCore
import Synchronization

/// A name service that rules can be built with before the event loops exist, which is after privileges were dropped.
final class DeferredNameService: NameService {
    private let real = Mutex<(any NameService)?>(nil)

    func install(_ names: any NameService) { real.withLock { $0 = names } }

    func addresses(of host: String) async -> NameAnswer<[IPAddress]> {
        await current?.addresses(of: host) ?? .temporaryFailure("the resolver is not running")
    }

    func mailExchangers(of domain: String) async -> NameAnswer<[MailExchanger]> {
        await current?.mailExchangers(of: domain) ?? .temporaryFailure("the resolver is not running")
    }

    func peerName(of address: IPAddress) async -> PeerName { await current?.peerName(of: address) ?? .unknown }

    private var current: (any NameService)? { real.withLock { $0 } }
}
