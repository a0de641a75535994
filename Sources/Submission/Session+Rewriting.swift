import HandOff
import MailLog
import Routing
import SMTPCore

/// What cleanup(8) does to the envelope. It is done at MAIL and RCPT, so that a client hears of a failing table before it sends its message.
extension Session {
    /// Canonical form of the sender, and blind copies of all it sends.
    @inline(never)
    func mapSender() async -> Reply? {
        guard let given = transaction?.envelopeSender else { return nil }
        var warnings: [String] = []
        do throws(AddressMapFailure) {
            let (maps, router) = (policy.content.maps, service.router)
            let sender = try await maps.map(given, in: .envelopeSender, router, warnings: &warnings)
            transaction?.copies += try await maps.copies(ofMailFrom: sender, router, warnings: &warnings)
            transaction?.envelopeSender = sender
            logAddressWarnings(warnings)
            return nil
        } catch {
            return mappingRefusal(error, given)
        }
    }

    enum RecipientOutcome {
        case expanded(AddressMaps.Expansion)
        case refused(Reply)
    }

    /// Everyone a recipient stands for, each with a way out.
    @inline(never)
    func expand(_ given: Address, completed: Address) async -> RecipientOutcome {
        var warnings: [String] = []
        do throws(AddressMapFailure) {
            let expansion = try await policy.content.maps.expand(completed, service.router, warnings: &warnings)
            logAddressWarnings(warnings)
            for address in expansion.recipients + expansion.copies.map(\.address) {
                let resolution = await service.router.resolve(address, sender: transaction?.envelopeSender)
                if Self.hasNoWayOut(resolution) { return .refused(noWayOut(for: address, resolution, given: given)) }
            }
            return .expanded(expansion)
        } catch {
            return .refused(mappingRefusal(error, given))
        }
    }

    /// One more recipient, because a rule says so (BCC). It says so again for each recipient; the copy goes out once.
    @inline(never)
    func addBlindCopy(_ address: Address) async -> Reply? {
        guard transaction?.blindCopies.contains(address) == false else { return nil }
        var warnings: [String] = []
        do throws(AddressMapFailure) {
            let (maps, router) = (policy.content.maps, service.router)
            let copies = try await maps.copies(to: router.rewrite(address), router, warnings: &warnings)
            logAddressWarnings(warnings)
            let length = copies.reduce(transaction?.recipientsLength ?? 0) { $0 + $1.encodedLength }
            if length > HandOffFrame.recipientsLimit { return Self.tooManyRecipients }
            transaction?.blindCopies.insert(address)
            transaction?.copies += copies
            transaction?.recipientsLength = length
            return nil
        } catch {
            return mappingRefusal(error, address)
        }
    }

    private func logAddressWarnings(_ warnings: [String]) {
        for text in warnings { cleanupLog.warning("\(queueName): \(text)") }
    }

    private func mappingRefusal(_ failure: AddressMapFailure, _ given: Address) -> Reply {
        cleanupLog.warning("\(queueName): \(failure.text)")
        switch failure.kind {
        case .lookup: return Reply(451, .init(4, 3, 0), "<\(given)>: Temporary lookup failure")
        case .expansion: return Reply(451, .init(4, 6, 0), "Alias expansion error")
        }
    }
}
