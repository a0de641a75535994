package import SMTPCore
package import Settings

/// The parameters of notices to the postmaster, for one service or transport of master.cf.
package struct NoticeSettings: Sendable {
    /// `notify_classes`.
    package var classes: NoticeClasses
    /// `error_notice_recipient`.
    package let errorRecipient: Address
    /// `bounce_notice_recipient`.
    package let bounceRecipient: Address
    /// `2bounce_notice_recipient`.
    package let doubleBounceRecipient: Address
    /// `delay_notice_recipient`.
    package let delayRecipient: Address
    /// `double_bounce_sender`: what cannot be delivered from it ends there.
    package let sender: Address
    package let myHostname: String
    package let mailName: String

    package init(_ settings: ServiceSettings) {
        let origin = settings.text("myorigin")
        func address(_ parameter: String) -> Address { Self.address(settings.text(parameter), origin: origin) }
        classes = NoticeClasses(settings)
        errorRecipient = address("error_notice_recipient")
        bounceRecipient = address("bounce_notice_recipient")
        doubleBounceRecipient = address("2bounce_notice_recipient")
        delayRecipient = address("delay_notice_recipient")
        sender = address("double_bounce_sender")
        myHostname = settings.text("myhostname")
        mailName = settings.text("mail_name")
    }

    /// The classes of what can happen in a session with a client or a server.
    package static let ofSessions: NoticeClasses = [.bounce, .data, .policy, .protocol, .resource, .software]

    /// A session is recorded from its first line on. With the default, `resource, software`, it is not: these are rare, and all sessions would
    /// pay for them.
    package var recordsFromStart: Bool { !classes.isDisjoint(with: [.bounce, .data, .policy, .protocol]) }

    /// Who is told of a session with these events; nil for nobody. What is about mail for nobody goes where bounces go.
    package func recipient(of events: NoticeClasses) -> Address? {
        guard !events.isDisjoint(with: classes.intersection(Self.ofSessions)) else { return nil }
        return events.contains(.bounce) ? bounceRecipient : errorRecipient
    }

    private static func address(_ text: String, origin: String) -> Address {
        guard let at = text.lastIndex(of: "@") else { return Address(localPart: text, domain: origin) }
        return Address(localPart: String(text[..<at]), domain: String(text[text.index(after: at)...]))
    }
}
