package import Settings

/// Whether the mail of each address class can go somewhere.
package enum WaysOut {
    /// One finding for each address class in use whose mail could not go anywhere, naming the class and the parameter to set.
    ///
    /// - Parameter deliverable: the transports (names of master.cf) that have an implementation here; `local` and `virtual` have none.
    package static func missing(deliverable: Set<String>, settings: ServiceSettings) -> [Diagnostic] {
        var findings: [Diagnostic] = []
        func isSet(_ parameter: String) -> Bool { !settings.text(parameter).isEmpty }
        func check(_ kind: String, _ parameter: String, remedy: String = "set it to a transport of master.cf") {
            let spec = TransportSpec(settings.text(parameter))
            // An empty name is reported where the transports are read.
            if spec.transport.isEmpty || deliverable.contains(spec.transport) { return }
            let text =
                "mail of the address class \(kind) has no way out: \(parameter) = \(settings.text(parameter)), and no transport "
                + "\"\(spec.transport)\" is available here; \(remedy)"
            findings.append(Diagnostic(.error, text, at: settings.location(of: parameter)))
        }
        if TransportSpec(settings.text("local_transport")).transport != "local" {
            check("local", "local_transport")
        } else {
            let replacements = ["mailbox_transport_maps", "mailbox_transport", "fallback_transport_maps", "fallback_transport"]
            // With an empty mydestination only user@[own address] is local, which is refused when it comes; that is nothing to warn of.
            if !replacements.contains(where: isSet), isSet("mydestination") {
                let remedy = "set mailbox_transport or local_transport, for example to lmtp:unix:private/dovecot-lmtp or smtp:[host]"
                check("local", "local_transport", remedy: remedy)
            }
            for parameter in ["mailbox_transport", "fallback_transport"] where isSet(parameter) { check("local", parameter) }
        }
        if isSet("virtual_mailbox_domains") {
            check("virtual mailbox", "virtual_transport", remedy: "set it to a transport such as lmtp:unix:private/dovecot-lmtp")
        }
        if isSet("relay_domains") { check("relay", "relay_transport") }
        check("default", "default_transport")
        return findings
    }
}
