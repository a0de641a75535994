import SMTPCore
import Settings
import Tables

extension Evaluation {
    /// Concludes from what an access table answered about `subject`.
    func act(on value: String, from table: String, key: String, about subject: AccessSubject) -> Verdict {
        let codes = environment.codes
        let action = AccessAction(value)
        switch action {
        case .ok: return .permit
        case .dunno: return .dunno
        case .empty:
            warning("access table \(table) entry \(subject.name) has empty value")
            return .permit
        case .reject(let code, let status, let text):
            let code = code ?? codes.accessMapReject
            return .reject(rejection(about: subject, code, status ?? EnhancedStatusCode(5, 7, 1), text.isEmpty ? "Access denied" : text))
        case .defer(let status, let text):
            let reply = rejection(
                about: subject,
                codes.accessMapDefer,
                status ?? EnhancedStatusCode(4, 7, 1),
                text.isEmpty ? "Access denied" : text
            )
            return .reject(reply)
        case .deferIfPermit(let status, let text): return .deferIfPermit(deferral(subject, status, text))
        case .deferIfReject(let status, let text): return .deferIfReject(deferral(subject, status, text))
        case .info(let text):
            decision.notices.append(Decision.Notice(verb: "info", text: text))
            return .acted("INFO \(text)")
        case .warn(let text):
            decision.notices.append(Decision.Notice(verb: "warn", text: text))
            return .acted("WARN \(text)")
        case .prepend, .hold, .discard, .filter, .redirect, .blindCopy: return actOnMessage(action, from: table, key: key, about: subject)
        case .hangUp(let text):
            decision.notices.append(Decision.Notice(verb: "hangup", text: text))
            return .hangUp
        case .restrictions(let text): return nested(text, from: table, about: subject)
        }
    }

    /// The conclusion when the table could not answer: a rejection like any other, which `warn_if_reject` softens.
    func lookupFailed(_ reason: String, _ key: String, in table: String, about subject: AccessSubject) -> Verdict {
        // `fail:` has nothing to say beyond this.
        let detail = reason.isEmpty || reason == "\(table) lookup error" ? "" : ": \(reason)"
        warning("\(table) lookup error for \"\(key)\"\(detail)")
        return .reject(rejection(about: subject, 451, EnhancedStatusCode(4, 3, 5), "Server configuration error"))
    }

    /// The rejection; a status code that says more than is true of the subject is changed, and that is logged.
    private func rejection(about subject: AccessSubject, _ code: Int, _ status: EnhancedStatusCode, _ text: String) -> Reply {
        let fitted = subject.fitted(status)
        if fitted != status {
            decision.notices.append(.init(verb: "", text: "mapping DSN status \(status) into \(subject.replyClass) status \(fitted)"))
        }
        return subject.rejection(code, fitted, text)
    }

    /// A log line of its own, `warning: TEXT`.
    func warning(_ text: String) { decision.notices.append(Decision.Notice(verb: "warning", text: text)) }

    private func deferral(_ subject: AccessSubject, _ status: EnhancedStatusCode?, _ text: String) -> Reply {
        rejection(
            about: subject,
            environment.codes.accessMapDefer,
            status ?? EnhancedStatusCode(4, 7, 1),
            text.isEmpty ? "Service unavailable" : text
        )
    }

    private func nested(_ text: String, from table: String, about subject: AccessSubject) -> Verdict {
        let items = ListText.items(text) ?? []
        if items.contains(where: { ListText.isTable($0) }) {
            warning("access table \(table) has entry with lookup table: \(text)")
            warning("do not specify lookup tables inside SMTPD access maps")
            warning("define a restriction class and specify its name instead.")
            return .failure(Replies.serverConfiguration)
        }
        var builder = ListBuilder(context: environment.nestedRules)
        let list = builder.build(name: table, kind: kind, items: items, location: nil)
        for diagnostic in builder.diagnostics { warning(diagnostic.message) }
        if builder.diagnostics.contains(where: { $0.severity == .error }) { return .failure(Replies.serverConfiguration) }
        return .evaluateAbout(subject, list)
    }
}

enum HeaderSyntax {
    /// `Name: text`, the name of printable ASCII (RFC 5322 section 3.6.8), no control characters in the text.
    static func isHeaderLine(_ line: String) -> Bool {
        guard let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")), colon > line.utf8.startIndex else { return false }
        return line.utf8[..<colon].allSatisfy { (0x21...0x7E).contains($0) }
            && line.utf8[colon...].allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 9 }
    }
}
