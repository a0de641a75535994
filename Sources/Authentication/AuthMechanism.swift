/// One mechanism a back end offers, with what the `MECH` line of the Dovecot auth protocol says of it.
package struct AuthMechanism: Sendable, Hashable {
    package struct Flags: OptionSet, Sendable, Hashable {
        package let rawValue: UInt8

        package init(rawValue: UInt8) { self.rawValue = rawValue }

        package static let anonymous = Flags(rawValue: 1)
        package static let plaintext = Flags(rawValue: 2)
        /// Subject to a dictionary attack by a passive listener.
        package static let dictionary = Flags(rawValue: 4)
        /// Subject to an active attack without a dictionary.
        package static let active = Flags(rawValue: 8)
        package static let forwardSecrecy = Flags(rawValue: 16)
        package static let mutualAuth = Flags(rawValue: 32)
        /// Not to be announced.
        package static let `private` = Flags(rawValue: 64)

        package static let words: [(word: String, flag: Flags)] = [
            ("anonymous", .anonymous), ("plaintext", .plaintext), ("dictionary", .dictionary), ("active", .active),
            ("forward-secrecy", .forwardSecrecy), ("mutual-auth", .mutualAuth), ("private", .private),
        ]
    }

    /// Upper case.
    package var name: String
    package var flags: Flags

    package init(name: String, flags: Flags) {
        self.name = name
        self.flags = flags
    }

    /// Whether `smtpd_sasl_security_options` allow this mechanism.
    package func isAllowed(by options: SASLSecurityOptions) -> Bool {
        let forbidden: [(SASLSecurityOptions, Flags)] = [
            (.noplaintext, .plaintext), (.noactive, .active), (.nodictionary, .dictionary), (.noanonymous, .anonymous),
        ]
        let required: [(SASLSecurityOptions, Flags)] = [(.forwardSecrecy, .forwardSecrecy), (.mutualAuth, .mutualAuth)]
        return !forbidden.contains { options.contains($0.0) && flags.contains($0.1) }
            && !required.contains { options.contains($0.0) && !flags.contains($0.1) }
    }
}
