package import SMTPCore

/// Where a service listens.
package struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    /// `0.0.0.0` or `::` for all addresses of the family; an IPv6 socket takes IPv6 only.
    package var address: IPAddress
    package var port: UInt16

    package init(address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }

    package var isWildcard: Bool { address == .v4(0) || address == .v6(high: 0, low: 0) }

    package var description: String { if case .v6 = address { "[\(address)]:\(port)" } else { "\(address):\(port)" } }
}

/// What becomes of one line of master.cf.
package struct MasterService: Sendable {
    package enum Role: Sendable, Hashable {
        /// An inet line with the command smtpd (or postscreen): served on these addresses.
        case smtpd([ListenAddress])
        /// A unix line that transport parameters can name.
        case transport(Transport)
        /// One of Postfix's own services, whose work is done elsewhere here.
        case builtIn
        /// Switched off by master_service_disable.
        case disabled
    }

    /// The delivery agents.
    package enum Transport: String, Sendable, CaseIterable {
        case smtp, lmtp, error, discard, pipe, local, virtual
    }

    package let entry: MasterEntry
    package let role: Role
    /// main.cf with this line's `-o` overrides.
    package let settings: ServiceSettings
    /// `-v` options on the line.
    package let verbosity: Int
    /// The words after the options: pipe(8)'s attributes and command.
    package let arguments: [String]
    /// Whether the process that does this work is to chroot to queue_directory.
    package let chroot: Bool

    package var name: String { entry.service }
}
