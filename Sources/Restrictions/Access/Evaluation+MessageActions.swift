import SMTPCore

/// Actions on the message, rather than on the reply (access(5), "OTHER ACTIONS").
extension Evaluation {
    func actOnMessage(_ action: AccessAction, from table: String, key: String, about subject: AccessSubject) -> Verdict {
        switch action {
        case .prepend(let header): return prepend(header, from: table)
        case .hold(let text):
            guard isPossible("HOLD", from: table) else { return .dunno }
            if !facts.isHeld, !decision.actions.contains(.hold) {
                decision.actions.append(.hold)
                trigger("hold", subject, text.isEmpty ? "triggers HOLD action" : text)
            }
            return .acted("HOLD")
        case .discard(let text):
            guard isPossible("DISCARD", from: table) else { return .dunno }
            decision.actions.append(.discard)
            trigger("discard", subject, text.isEmpty ? "triggers DISCARD action" : text)
            return .actedAndPermitted("DISCARD")
        case .filter(let text):
            guard isPossible("FILTER", from: table) else { return .dunno }
            guard let filter = ContentFilter(text) else {
                let what = text.isEmpty ? "has FILTER entry without value" : "requires transport:destination"
                warning("access table \(table) entry \"\(key)\" \(what)")
                return .dunno
            }
            return note(.filter(filter), "FILTER", text, subject)
        case .redirect(let text):
            guard let target = target(text, of: "REDIRECT", from: table, key: key) else { return .dunno }
            return note(.redirect(target), "REDIRECT", text, subject)
        case .blindCopy(let text):
            guard let target = target(text, of: "BCC", from: table, key: key) else { return .dunno }
            return note(.blindCopy(target), "BCC", text, subject)
        default: return .dunno
        }
    }

    private func note(_ action: MessageAction, _ name: String, _ text: String, _ subject: AccessSubject) -> Verdict {
        decision.actions.append(action)
        trigger(name.lowercased(), subject, "triggers \(name) \(text)")
        return .acted("\(name) \(text)")
    }

    private func trigger(_ verb: String, _ subject: AccessSubject, _ what: String) {
        decision.notices.append(Decision.Notice(verb: verb, text: "<\(subject.name)>: \(subject.replyClass) \(what)"))
    }

    /// The address that REDIRECT or BCC names; nil, after a warning, where it is none or there is no message.
    private func target(_ text: String, of action: String, from table: String, key: String) -> Address? {
        guard isPossible(action, from: table) else { return nil }
        if let list = AddressList.parse(text.utf8), list.isReadable, list.mailboxes.count == 1 {
            let address = list.mailboxes[0].address
            if !address.localPart.isEmpty, address.domain?.isEmpty == false { return address }
        }
        warning("access table \(table) entry \"\(key)\" requires user@domain target")
        return nil
    }

    private func prepend(_ header: String, from table: String) -> Verdict {
        guard stage != .endOfData else {
            warning("access table \(table): action PREPEND must be used before smtpd_end_of_data_restrictions")
            return .dunno
        }
        // ETRN has no message, whatever this says: the words are Postfix's.
        guard stage != .etrn else {
            skip("PREPEND", from: table)
            return .dunno
        }
        guard isPossible("PREPEND", from: table) else { return .dunno }
        guard HeaderSyntax.isHeaderLine(header) else {
            warning("access table \(table): PREPEND action requires header: text, not \"\(header)\"")
            return .dunno
        }
        decision.actions.append(.prepend(header))
        return .acted("PREPEND \(header)")
    }

    /// There is no message in ETRN, nor before MAIL when `smtpd_delay_reject` is off.
    private func isPossible(_ action: String, from table: String) -> Bool {
        switch stage {
        case .etrn: warning("access table \(table): action \(action) is unavailable in smtpd_etrn_restrictions")
        case .connect, .helo: skip(action, from: table)
        case .mail, .rcpt, .vrfy, .data, .endOfData: return true
        }
        return false
    }

    private func skip(_ action: String, from table: String) {
        warning(
            "access table \(table): with smtpd_delay_reject=no, action \(action) is always skipped in Client host or Helo command restrictions"
        )
    }
}
