package import Settings
import Tables

extension AddressRouter {
    /// One finding for each address class in use whose mail could not go anywhere, naming the class and the parameter to set.
    ///
    /// - Parameter deliverable: the transports (names of master.cf) that have an implementation here; `local` and `virtual` have none.
    package func classesWithoutWayOut(deliverable: Set<String>, settings: ServiceSettings) -> [Diagnostic] {
        var findings: [Diagnostic] = []
        func check(_ kind: String, _ parameter: String, _ spec: TransportSpec, remedy: String) {
            if deliverable.contains(spec.transport) { return }
            let text =
                "mail of the address class \(kind) has no way out: \(parameter) = \(settings.text(parameter)), and no transport "
                + "\"\(spec.transport)\" is available here; \(remedy)"
            findings.append(Diagnostic(.error, text, at: settings.location(of: parameter)))
        }
        if transports.local.transport != "local" {
            check("local", "local_transport", transports.local, remedy: "set it to a transport of master.cf")
        } else {
            let delivery = transports.mailbox
            // With an empty mydestination only user@[own address] is local, which is refused when it comes; that is nothing to warn of.
            if !delivery.hasWayOut, !settings.text("mydestination").isEmpty {
                let remedy = "set mailbox_transport or local_transport, for example to lmtp:unix:private/dovecot-lmtp or smtp:[host]"
                check("local", "local_transport", transports.local, remedy: remedy)
            }
            if let spec = delivery.mailbox { check("local", "mailbox_transport", spec, remedy: "set it to a transport of master.cf") }
            if let spec = delivery.fallback { check("local", "fallback_transport", spec, remedy: "set it to a transport of master.cf") }
        }
        if !domains.virtualMailbox.isEmpty {
            let remedy = "set it to a transport such as lmtp:unix:private/dovecot-lmtp"
            check("virtual mailbox", "virtual_transport", transports.virtual, remedy: remedy)
        }
        if !domains.relay.isEmpty { check("relay", "relay_transport", transports.relay, remedy: "set it to a transport of master.cf") }
        check("default", "default_transport", transports.default, remedy: "set it to a transport of master.cf")
        return findings
    }
}
