import Routing
import SMTPCore
import Settings
import Tables

/// Whether an address of one of our domains exists, from the tables that say which do (`local_recipient_maps` and the like).
struct UnlistedCheck: Sendable {
    private let recipientCanonical: TableList
    private let senderCanonical: TableList
    private let canonical: TableList
    private let virtualAlias: TableList
    private let localRecipients: TableList
    private let virtualMailboxes: TableList
    private let relayRecipients: TableList
    private let showsTableName: Bool
    private let codes: ReplyCodes

    init(settings: ServiceSettings, tables: TableRegistry, codes: ReplyCodes) throws(ConfigurationError) {
        var problems: [Diagnostic] = []
        func maps(_ name: String) -> TableList {
            do throws(ConfigurationError) {
                return try tables.list(ofParameter: name, settings)
            } catch {
                problems += error.diagnostics
                return .empty
            }
        }
        recipientCanonical = maps("recipient_canonical_maps")
        senderCanonical = maps("sender_canonical_maps")
        canonical = maps("canonical_maps")
        virtualAlias = maps("virtual_alias_maps")
        localRecipients = maps("local_recipient_maps")
        virtualMailboxes = maps("virtual_mailbox_maps")
        relayRecipients = maps("relay_recipient_maps")
        showsTableName = settings.bool("show_user_unknown_table_name")
        self.codes = codes
        if !problems.isEmpty { throw ConfigurationError(problems) }
    }

    func evaluate(_ address: Address, _ side: EnvelopeSide, _ run: Evaluation) async -> Verdict {
        let resolution = side == .sender ? await run.resolveSender(address) : await run.resolveRecipient(address)
        switch resolution.outcome {
        case .failed(let reason): return run.resolverFailed(reason, address)
        case .illegal: return .dunno
        case .resolved: break
        }
        let rewriting = [recipientCanonical] + (side == .sender ? [senderCanonical] : []) + [canonical, virtualAlias]
        for tables in rewriting {
            switch await find(resolution, in: tables, run) {
            case .found: return .dunno
            case .failed(let reason): return run.resolverFailed(reason, address)
            case .notFound: continue
            }
        }
        let subject = AccessSubject(name: address.internalForm, replyClass: side.replyClass, kind: side.accessKind)
        if resolution.transport == "error" || resolution.transport == "retry" { return refused(resolution, side, subject) }
        return await unknown(resolution, side, address, run)
    }

    /// The resolver itself says that nobody is there, in the next hop: `5.1.1 User unknown in virtual alias table`.
    private func refused(_ resolution: AddressResolution, _ side: EnvelopeSide, _ subject: AccessSubject) -> Verdict {
        let isRetry = resolution.transport == "retry"
        let code = isRetry ? 450 : resolution.addressClass == .virtualAlias ? codes.unknownVirtualAlias : 550
        let word = resolution.nextHop.prefix { $0 != " " }
        if let status = EnhancedStatusCode(word) {
            return .reject(subject.rejection(code, status, ListText.trimmed(resolution.nextHop.dropFirst(word.count))))
        }
        let status = EnhancedStatusCode(5, 1, side == .sender ? 0 : 1)
        return .reject(Replies.make(code, status, "<\(subject.name)>: \(subject.replyClass) rejected: \(resolution.nextHop)"))
    }

    private func unknown(_ resolution: AddressResolution, _ side: EnvelopeSide, _ address: Address, _ run: Evaluation) async -> Verdict {
        let tables: TableList
        let table: String
        let code: Int
        switch resolution.addressClass {
        case .local: (tables, table, code) = (localRecipients, "local recipient", codes.unknownLocalRecipient)
        case .virtualMailbox: (tables, table, code) = (virtualMailboxes, "virtual mailbox", codes.unknownVirtualMailbox)
        case .relay: (tables, table, code) = (relayRecipients, "relay recipient", codes.unknownRelayRecipient)
        case .virtualAlias, .default: return .dunno
        }
        let isAlwaysValid = Self.systemMailboxes.contains(DomainName.folded(resolution.recipient.localPart))
        if tables.isEmpty || (resolution.addressClass == .local && isAlwaysValid) { return .dunno }
        switch await find(resolution, in: tables, run) {
        case .found: return .dunno
        case .failed(let reason): return run.resolverFailed(reason, address)
        case .notFound:
            let text = showsTableName ? "User unknown in \(table) table" : "User unknown"
            return .reject(side.rejection(code, EnhancedStatusCode(5, 1, side == .sender ? 0 : 1), address, text))
        }
    }

    private static let systemMailboxes: Set<String> = ["postmaster", "mailer-daemon", "double-bounce"]

    private func find(_ resolution: AddressResolution, in tables: TableList, _ run: Evaluation) async -> LookupResult {
        let lookup = run.environment.router.addressLookup
        let isLocal = await run.environment.router.isLocalOrOrigin(resolution.recipient.domain ?? "")
        return await lookup.find(resolution.recipient, in: tables, isLocal: isLocal)
    }
}
