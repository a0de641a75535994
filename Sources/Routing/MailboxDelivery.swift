import SMTPCore
import Settings
import Tables

/// The parts of local(8) that hand a message on: `mailbox_transport_maps`, `mailbox_transport`, `fallback_transport_maps`,
/// `fallback_transport`, in this order. Aliases, `.forward` files and mailbox files are not ours.
struct MailboxDelivery: Sendable {
    let mailbox: TransportSpec?
    let fallback: TransportSpec?
    private let maps: TableList
    private let fallbackMaps: TableList
    private let addressLookup: AddressLookup

    init(settings: ServiceSettings, maps: TableList, fallbackMaps: TableList) {
        func spec(_ name: String) -> TransportSpec? {
            let text = settings.text(name)
            return text.isEmpty ? nil : TransportSpec(text)
        }
        mailbox = spec("mailbox_transport")
        fallback = spec("fallback_transport")
        self.maps = maps
        self.fallbackMaps = fallbackMaps
        addressLookup = AddressLookup(recipientDelimiter: settings.text("recipient_delimiter"))
    }

    func deliver(_ resolution: AddressResolution) async -> AddressResolution {
        let user = addressLookup.withoutExtension(resolution.recipient.localPart) ?? resolution.recipient.localPart
        for (tables, fixed) in [(maps, mailbox), (fallbackMaps, fallback)] {
            var spec = fixed
            switch await tables.lookup(user) {
            case .failed(let reason):
                var failed = resolution
                failed.outcome = .failed(reason)
                return failed
            case .found(let text): spec = TransportSpec(text)
            case .notFound: break
            }
            guard let spec, !spec.transport.isEmpty else { continue }
            var result = resolution
            result.transport = spec.transport
            result.nextHop = spec.nextHop.isEmpty ? resolution.recipient.domain ?? "" : spec.nextHop
            return result
        }
        return resolution
    }
}
