/// A list of restrictions, compiled.
struct RestrictionList: Sendable {
    struct Entry: Sendable {
        /// Position as written; `warn_if_reject` counts.
        var index: Int
        /// As written.
        var text: String
        var rule: any Rule
        /// `warn_if_reject` stands before it.
        var isWarned: Bool
    }

    /// The parameter's name.
    let name: String
    let entries: [Entry]
}

/// The lists by what they look at: fixes the `<name>` and the class text of generic rejections, and what a bare `type:table` means.
enum ListKind: String, Sendable, Hashable, CaseIterable {
    case client, helo, sender, relay, recipient, data, endOfData, etrn

    var parameter: String {
        switch self {
        case .client: "smtpd_client_restrictions"
        case .helo: "smtpd_helo_restrictions"
        case .sender: "smtpd_sender_restrictions"
        case .relay: "smtpd_relay_restrictions"
        case .recipient: "smtpd_recipient_restrictions"
        case .data: "smtpd_data_restrictions"
        case .endOfData: "smtpd_end_of_data_restrictions"
        case .etrn: "smtpd_etrn_restrictions"
        }
    }

    /// The `CLASS` of `<X>: CLASS rejected: ...`.
    var replyClass: String {
        switch self {
        case .client: "Client host"
        case .helo: "Helo command"
        case .sender: "Sender address"
        case .relay, .recipient: "Recipient address"
        case .data: "Data command"
        case .endOfData: "End-of-data"
        case .etrn: "Etrn command"
        }
    }
}
