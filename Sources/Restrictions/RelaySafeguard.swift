import Tables

/// An open relay must be configured by hand, not by omission: one of the two lists that guard recipients has to end mail for strangers.
enum RelaySafeguard {
    static let message =
        "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: "
        + "reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains"

    private static let working: Set<String> = [
        "reject_unauth_destination", "defer_unauth_destination", "reject", "defer", "defer_if_permit", "check_relay_domains",
    ]

    /// Whether `list` holds a working instance before a `permit`, itself or in a class. What `warn_if_reject` stands before does not count.
    static func holds(_ list: RestrictionList, classes: [String: RestrictionList], depth: Int = 0) -> Bool {
        guard depth < 100 else { return false }
        for entry in list.entries where !entry.isWarned {
            let name = DomainName.folded(entry.text)
            if working.contains(name) { return true }
            if name == "permit" { return false }
            if let reference = entry.rule as? RestrictionClass, let nested = classes[reference.name],
                holds(nested, classes: classes, depth: depth + 1)
            {
                return true
            }
        }
        return false
    }
}
