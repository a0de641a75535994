package import SMTPCore
package import Settings
package import Tables

/// What cleanup(8) makes of a message's addresses once they are complete: canonical mapping, masquerading, virtual aliases, blind copies.
///
/// Immutable; may be used on any loop.
package final class AddressMaps: Sendable {
    /// Where an address stands, as `canonical_classes` and `masquerade_classes` name it.
    package enum Place: String, Sendable, Hashable, CaseIterable {
        case envelopeSender = "envelope_sender"
        case envelopeRecipient = "envelope_recipient"
        case headerSender = "header_sender"
        case headerRecipient = "header_recipient"
    }

    private let canonical: [(map: AddressMap, places: Set<Place>)]
    private let masquerade: Masquerade
    private let masqueradedPlaces: Set<Place>
    private let aliases: VirtualAliases
    private let alwaysBCC: Address?
    private let senderBCC: AddressMap
    private let recipientBCC: AddressMap

    /// What `no_address_mappings` (`receive_override_options`) switches off.
    private static let optional = [
        "sender_canonical_maps", "recipient_canonical_maps", "canonical_maps", "masquerade_domains", "virtual_alias_maps", "always_bcc",
        "sender_bcc_maps", "recipient_bcc_maps",
    ]

    /// - Throws: every problem found.
    package init(_ settings: ServiceSettings, tables: TableRegistry) throws(ConfigurationError) {
        let isOff = settings.keywords("receive_override_options").contains("no_address_mappings")
        let settings = isOff ? settings.without(Self.optional) : settings
        var problems = ProblemCollector()
        var canonical: [(map: AddressMap, places: Set<Place>)] = []
        let stages = [
            ("sender_canonical_maps", "sender_canonical_classes"), ("recipient_canonical_maps", "recipient_canonical_classes"),
            ("canonical_maps", "canonical_classes"),
        ]
        for (maps, classes) in stages {
            let map = problems.collect(try AddressMap(maps, settings, tables, propagates: "canonical"))
            let places = problems.collect(try Self.places(settings, classes))
            if let map, let places, !map.isEmpty { canonical.append((map, places)) }
        }
        let masquerade = problems.collect(try Masquerade(settings, tables))
        let masqueradedPlaces = problems.collect(try Self.places(settings, "masquerade_classes"))
        let aliases = problems.collect(try VirtualAliases(settings, tables))
        let alwaysBCC = problems.collect(try Self.address(settings, "always_bcc"))
        let senderBCC = problems.collect(try AddressMap("sender_bcc_maps", settings, tables))
        let recipientBCC = problems.collect(try AddressMap("recipient_bcc_maps", settings, tables))
        guard !problems.hasErrors, let masquerade, let masqueradedPlaces, let aliases, let alwaysBCC, let senderBCC, let recipientBCC else {
            throw problems.error
        }
        self.canonical = canonical
        self.masquerade = masquerade
        self.masqueradedPlaces = masqueradedPlaces
        self.aliases = aliases
        self.alwaysBCC = alwaysBCC
        self.senderBCC = senderBCC
        self.recipientBCC = recipientBCC
    }

    private static func places(_ settings: ServiceSettings, _ name: String) throws(ConfigurationError) -> Set<Place> {
        var places: Set<Place> = []
        for word in settings.list(name) {
            guard let place = Place(rawValue: word.lowercased()) else {
                throw ConfigurationError("\(name): \"\(word)\" is no class of addresses", at: settings.location(of: name))
            }
            places.insert(place)
        }
        return places
    }

    /// One address, or nil when the parameter is empty.
    private static func address(_ settings: ServiceSettings, _ name: String) throws(ConfigurationError) -> Address? {
        let text = settings.text(name)
        guard !text.isEmpty else { return nil }
        guard let list = AddressList.parse(text.utf8), list.mailboxes.count == 1, list.isReadable else {
            throw ConfigurationError("\(name): \"\(text)\" is not an address", at: settings.location(of: name))
        }
        return list.mailboxes[0].address
    }

    /// Whether addresses in `place` may change.
    package func changes(_ place: Place) -> Bool {
        canonical.contains { $0.places.contains(place) } || (!masquerade.isEmpty && masqueradedPlaces.contains(place))
    }

    /// Whether a recipient may become another, or several.
    package var changesRecipients: Bool { changes(.envelopeRecipient) || !aliases.map.isEmpty || !recipientBCC.isEmpty }

    /// `address`, which is complete, after canonical mapping and masquerading. The null sender is asked for too: a table that has
    /// everything changes it.
    /// - Parameter warnings: gets what the log is to say, without queue id.
    package func map(_ address: Address, in place: Place, _ router: AddressRouter, warnings: inout [String]) async throws(AddressMapFailure)
        -> Address
    {
        var result = address
        for stage in canonical where stage.places.contains(place) {
            result = try await stage.map.canonical(result, router, warnings: &warnings)
        }
        return !masquerade.isEmpty && masqueradedPlaces.contains(place) ? try await masquerade.apply(result) : result
    }

    /// Everyone who gets the message for one recipient of the client.
    package struct Expansion: Sendable, Hashable {
        /// At least one.
        package var recipients: [Address] = []
        /// `recipient_bcc_maps`.
        package var copies: [Recipient] = []
    }

    /// The recipients that a complete address stands for.
    package func expand(_ address: Address, _ router: AddressRouter, warnings: inout [String]) async throws(AddressMapFailure) -> Expansion
    {
        let mapped = try await map(address, in: .envelopeRecipient, router, warnings: &warnings)
        var result = Expansion()
        result.recipients = try await aliases.expand(mapped, router)
        if let copy = try await recipientBCC.copy(for: mapped, router, warnings: &warnings) {
            result.copies = try await self.copies(to: copy, router, warnings: &warnings)
        }
        return result
    }

    /// Who gets a copy of each message of a sender (`sender_bcc_maps`, `always_bcc`). `sender` is the mapped address.
    package func copies(ofMailFrom sender: Address, _ router: AddressRouter, warnings: inout [String]) async throws(AddressMapFailure)
        -> [Recipient]
    {
        var copies: [Recipient] = []
        if let alwaysBCC { copies += try await self.copies(to: router.rewrite(alwaysBCC), router, warnings: &warnings) }
        if !sender.isNull, let copy = try await senderBCC.copy(for: sender, router, warnings: &warnings) {
            copies += try await self.copies(to: copy, router, warnings: &warnings)
        }
        return copies
    }

    /// Who gets a copy that is sent to a complete address. NOTIFY=NEVER: if it fails, the sender must not learn of it.
    package func copies(to address: Address, _ router: AddressRouter, warnings: inout [String]) async throws(AddressMapFailure)
        -> [Recipient]
    {
        let mapped = try await map(address, in: .envelopeRecipient, router, warnings: &warnings)
        return try await aliases.expand(mapped, router).map {
            Recipient(address: $0, original: $0 == mapped ? nil : mapped, notify: .never)
        }
    }

    /// Whether MAIL has anything to do here.
    package var changesSenders: Bool { changes(.envelopeSender) || alwaysBCC != nil || !senderBCC.isEmpty }
}
