/// One row of the parameter table: what `conf`, `check`, the defaults and the documentation know about a main.cf parameter.
package struct Parameter: Sendable {
    package let name: String
    package let type: ParameterType
    package let tier: Tier
    package let support: Support
    /// As `postconf -d` prints it: before `$name` expansion. Computed defaults (`myhostname`) come from `HostFacts` instead.
    package let defaultValue: String

    init(_ name: String, _ type: ParameterType, _ tier: Tier, _ support: Support, _ defaultValue: String) {
        self.name = name
        self.type = type
        self.tier = tier
        self.support = support
        self.defaultValue = defaultValue
    }

    /// How much a stand-alone submission server needs the parameter.
    package enum Tier: String, Sendable { case a, b, c }

    /// What becomes of a value that differs from the default.
    package enum Support: Sendable, Equatable {
        /// Works as in Postfix.
        case honoured
        /// Not implemented; a set value would only have allowed more than we do. Noted at start.
        case loosens
        /// Accepted without consequence, for the reason given. Noted at start.
        case noEffect(NoEffect)
        /// Not implemented, and a set value asks for something that must not be skipped silently: an error at start.
        case restricts
    }
}

/// Why a parameter has no effect here; the sentence that `check` prints.
package enum NoEffect: String, Sendable {
    case localDelivery =
        "local(8) and virtual(8) delivery is done by the program that local_transport, mailbox_transport or virtual_transport names"
    case onePackage = "Postern is one program and finds its own files"
    case noTLSManager = "TLS sessions and random numbers are handled inside the server"
    case ownScheduler = "the queue has its own scheduler"
    case noInternalServices = "Postfix's internal services are parts of one program here"
    case postscreen = "postscreen is served as smtpd; its tests are not run"
    case noLocalSubmission = "mail arrives by SMTP only"
    case noBerkeleyDB = "no database library with this setting is in use"
    case obsolete = "obsolete; Postfix ignores it too or recommends leaving it alone"
    case cosmetic = "affects only the wording of logs or notices"
    case noVerification = "no address verification is done"
    case noMultiInstance = "each instance is started with its own -c DIR"
    case noClientCertificates = "client certificates are not evaluated"
    case clientDefaults = "this detail of the relay client is fixed"
    case queueIDAtRecipient = "the queue id is always taken at the first accepted RCPT"
    case unusedFeature = "belongs to a feature that is not implemented; the parameter that switches it on is refused"
    case unusedService = "belongs to a service that is not provided"
}

/// The shape of a parameter's value.
package enum ParameterType: Sendable, Equatable {
    /// `yes` or `no`, any case.
    case bool
    case integer(ClosedRange<Int>)
    /// A number with a unit letter (s m h d w); the unit is the one of a bare number.
    case time(TimeUnit)
    /// One word of the list; the words in `notYet` are Postfix's too, but not implemented.
    case choice([String], notYet: [String])
    /// A list of words, each from the list; those in `notYet` are Postfix's too, but not implemented.
    case options([String], notYet: [String] = [])
    /// A list, separated by commas and white space.
    case list
    /// A list whose `/file/name` elements are replaced by the file's content; domains, hosts, addresses or tables.
    case matchList
    /// Look-up tables, `type:name`.
    case tables
    /// An `smtpd_*_restrictions` list.
    case restrictions
    /// A file or directory name.
    case path
    /// Text in which `$name` is not expanded when the configuration is read, but for each use.
    case template
    case text

    /// An SMTP reply code that refuses: what the `*_code` parameters take.
    static let replyCode = ParameterType.integer(400...599)
    static let count = ParameterType.integer(0...Int(Int32.max))
    static let positive = ParameterType.integer(1...Int(Int32.max))
    static let size = ParameterType.integer(0...Int.max)
    static func choice(_ words: String...) -> ParameterType { .choice(words, notYet: []) }
}
