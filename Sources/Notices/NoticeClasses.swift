package import Settings

/// The words of `notify_classes`: what the postmaster is told of.
package struct NoticeClasses: OptionSet, Sendable, Hashable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Copies of the headers of bounced mail; sessions in which mail was refused that nobody could have delivered. Implies ``doubleBounce``.
    package static let bounce = NoticeClasses(rawValue: 1)
    /// `2bounce`: bounces that could not be delivered.
    package static let doubleBounce = NoticeClasses(rawValue: 1 << 1)
    /// A table could not be asked.
    package static let data = NoticeClasses(rawValue: 1 << 2)
    /// Copies of the headers of delayed mail.
    package static let delay = NoticeClasses(rawValue: 1 << 3)
    /// A client was refused by restrictions or limits.
    package static let policy = NoticeClasses(rawValue: 1 << 4)
    /// The other side does not speak SMTP as it should.
    package static let `protocol` = NoticeClasses(rawValue: 1 << 5)
    /// Mail was not taken for want of space.
    package static let resource = NoticeClasses(rawValue: 1 << 6)
    /// Mail was not taken for a fault of configuration or program.
    package static let software = NoticeClasses(rawValue: 1 << 7)

    /// Those of the service; a word that is none has been refused when the configuration was read.
    package init(_ settings: ServiceSettings) { self.init(settings.keywords("notify_classes")) }

    /// - Parameter words: in lower case.
    init(_ words: Set<String>) {
        self = []
        for (word, notice) in Self.words where words.contains(word) { insert(notice) }
        if contains(.bounce) { insert(.doubleBounce) }
    }

    private static let words: [(String, NoticeClasses)] = [
        ("bounce", .bounce), ("2bounce", .doubleBounce), ("data", .data), ("delay", .delay), ("policy", .policy), ("protocol", .protocol),
        ("resource", .resource), ("software", .software),
    ]
}
