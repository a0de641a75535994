import Routing
import SMTPCore
import Tables

/// The family of `reject_sender_login_mismatch`: who may use which sender address, from `smtpd_sender_login_maps`.
struct RejectSenderLoginMismatch: Rule {
    enum Mode: Sendable {
        /// `reject_authenticated_sender_login_mismatch`: a logged-in client must own the sender.
        case authenticated
        /// `reject_known_sender_login_mismatch`: like the others, but senders that nobody owns are free.
        case known
        /// `reject_unauthenticated_sender_login_mismatch`: an owned sender needs a login.
        case unauthenticated
    }

    let mode: Mode
    let logins: TableList

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard run.environment.saslIsEnabled, let sender = EnvelopeSide.sender.address(run.facts) else { return .dunno }
        let login = run.facts.saslUsername
        if mode == .authenticated, login == nil { return .dunno }
        if mode == .unauthenticated, login != nil { return .dunno }
        let resolution = await run.resolveSender(sender)
        if case .failed(let reason) = resolution.outcome { return run.resolverFailed(reason, sender) }
        let address = Address(
            localPart: KeyFolding.folded(resolution.recipient.localPart),
            domain: resolution.recipient.domain.map(KeyFolding.folded)
        )
        let isLocal = await run.environment.router.isLocalOrOrigin(address.domain ?? "")
        let status = EnhancedStatusCode(5, 7, 1)
        switch await run.environment.router.addressLookup.find(address, in: logins, isLocal: isLocal) {
        case .failed(let reason): return run.resolverFailed(reason, sender)
        case .notFound:
            guard mode == .authenticated, let login else { return .dunno }
            return .reject(EnvelopeSide.sender.rejection(553, status, sender, "not owned by user \(login)"))
        case .found(let owners):
            run.consulted = (logins.tables.map(\.name).joined(separator: " "), address.internalForm, owners)
            guard let login else { return .reject(EnvelopeSide.sender.rejection(553, status, sender, "not logged in")) }
            let names = (ListText.items(owners) ?? []).map(KeyFolding.folded)
            if names.contains(KeyFolding.folded(login)) { return .dunno }
            return .reject(EnvelopeSide.sender.rejection(553, status, sender, "not owned by user \(login)"))
        }
    }
}
