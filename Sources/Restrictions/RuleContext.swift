import Tables

/// What rules are built from. Immutable: also used while a session runs, for restrictions that a table returns.
struct RuleContext: Sendable {
    /// The classes of `smtpd_restriction_classes`.
    var classNames: Set<String>
    var senderLogins: TableList
    /// nil when the tables of valid addresses are not open, because no list of the service needs them.
    var unlisted: UnlistedCheck?
    /// Those tables could not be opened, which has been said already.
    var unlistedFailed = false
}
