import MailLog
import Routing
import SMTPCore

extension Session {
    enum PathOutcome {
        /// As the client gave it, and after rewriting.
        case address(Address, rewritten: Address)
        case refused(Reply)
    }

    /// The address of MAIL or RCPT.
    func path(_ command: CommandLine, verb: String, isUTF8: Bool) async -> PathOutcome {
        // A word whose quotes or brackets stay open is refused unseen, and not logged, as in Postfix.
        if command.tokens[2].isUnbalanced { return .refused(Self.badAddress(verb)) }
        return await path(command[2], verb: verb, isUTF8: isUTF8, strict: policy.strictEnvelopes)
    }

    /// The address of MAIL, RCPT or VRFY: parsed, completed, and one that some delivery could follow.
    /// - Parameter isUTF8: the client said SMTPUTF8, so that a domain may have characters beyond ASCII (RFC 6531 section 3.3).
    func path(_ word: ArraySlice<UInt8>, verb: String, isUTF8: Bool, strict: Bool) async -> PathOutcome {
        switch PathParser.parse(word, strict: strict) {
        case .illegal: return .refused(illegal(word, verb: verb))
        case .nonASCII(let address) where !isUTF8 && address.domain?.utf8.contains { $0 >= 0x80 } == true:
            return .refused(illegal(word, verb: verb))
        case .address(let address), .nonASCII(let address):
            if address.isNull { return .address(address, rewritten: address) }
            let rewritten = service.router.rewrite(address)
            let resolution = await service.router.resolve(rewritten, sender: transaction?.envelopeSender)
            switch resolution.outcome {
            case .resolved where verb == "RCPT" && !policy.content.maps.changesRecipients && Self.hasNoWayOut(resolution):
                return .refused(noWayOut(for: address, resolution, given: address))
            case .resolved: return .address(address, rewritten: rewritten)
            case .illegal: return .refused(illegal(word, verb: verb))
            case .failed(let reason):
                log.warning("\(address): address lookup failure: \(reason)")
                return .refused(Reply(451, .init(4, 3, 0), "<\(address)>: Temporary lookup failure"))
            }
        }
    }

    /// local(8) and virtual(8) are not built in; `mailbox_transport` and the like have been looked at by the router.
    static func hasNoWayOut(_ resolution: AddressResolution) -> Bool { ["local", "virtual"].contains(resolution.transport) }

    /// Taking it would mean to keep it for days and then return it: the client can still go elsewhere.
    func noWayOut(for address: Address, _ resolution: AddressResolution, given: Address) -> Reply {
        log.warning(
            "\(address): no way out for mail of class \(resolution.addressClass.rawValue): set local_transport or virtual_transport"
        )
        return Reply(451, .init(4, 3, 5), "<\(given)>: Recipient address rejected: Server configuration error")
    }

    /// `strict_smtputf8`: an address beyond ASCII needs SMTPUTF8. Without that it is taken and passed on as it is, as smtpd(8) does.
    func refusal(undeclared address: Address) -> Reply? {
        guard policy.strictUTF8, transaction?.isUTF8 != true, address.internalForm.utf8.contains(where: { $0 >= 0x80 }) else { return nil }
        return Reply(553, .init(5, 6, 7), "Must declare SMTPUTF8 to send unicode address")
    }

    /// Logs an address no one could send to, and words the refusal.
    func illegal(_ word: ArraySlice<UInt8>, verb: String) -> Reply {
        // Characters beyond ASCII are shown, as smtpd(8) does; nothing may end the line.
        let text = String(
            decoding: word.map { $0 < 0x20 || $0 == 0x7F || $0 > 0x7F && !policy.checksUTF8 ? UInt8(ascii: "?") : $0 },
            as: UTF8.self
        )
        log.warning("Illegal address syntax from \(clientText) in \(verb) command: \(text)")
        return Self.badAddress(verb)
    }

    private static func badAddress(_ verb: String) -> Reply {
        verb == "MAIL"
            ? Reply(501, .init(5, 1, 7), "Bad sender address syntax") : Reply(501, .init(5, 1, 3), "Bad recipient address syntax")
    }
}
