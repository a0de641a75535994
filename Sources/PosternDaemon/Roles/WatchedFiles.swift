import Authentication
import Glibc
import Settings

/// The files that a configuration names.
struct WatchedFiles {
    private(set) var all: [String] = []
    /// Of the servers.
    private(set) var certificates: [String] = []
    /// What the queue role reads, as it is now.
    private(set) var fingerprint = ""

    /// More files than this are not watched.
    private static let limit = 2000
    /// Written by programs as they work, or never read by us.
    private static let excluded: Set<String> = ["maillog_file", "address_verify_map", "tls_random_source", "tls_random_exchange_name"]
    private static let certificateParameters = ["smtpd_tls_cert_file", "smtpd_tls_eccert_file", "smtpd_tls_chain_files"]

    /// - Parameter tables: the files that tables were read from when they were opened.
    init(_ configuration: Configuration, _ tables: StartupCheck.TableFiles) {
        let servers = configuration.smtpdServices.map { configuration.settings(for: $0) }
        // smtpd's own parameters are no business of the queue role.
        let queueViews = [configuration.main] + configuration.transports.map(\.settings)
        let queueFiles = Set(queueViews.flatMap { Self.files(in: $0) { !$0.hasPrefix("smtpd_") } } + tables.queue + configuration.files)
        let views = [configuration.main] + configuration.services.map(\.settings)
        let named = views.flatMap { Self.files(in: $0) { _ in true } } + tables.services + Self.saslFiles(configuration)
        all = Array(queueFiles.union(named).sorted().prefix(Self.limit))
        let names = Set(servers.flatMap { settings in Self.certificateParameters.flatMap(settings.list) })
        certificates = names.filter { $0.hasPrefix("/") }.sorted()
        let system = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/localtime"]
        fingerprint = Self.hash((queueFiles.sorted() + system).map { "\($0)=\(FileIdentity($0).text)" }.joined(separator: "\n"))
    }

    /// What the workers have read, or would read if it were there: the library takes the first it finds.
    private static func saslFiles(_ configuration: Configuration) -> [String] {
        SASLProfiles(configuration).cyrus.flatMap { profile in profile.searchPath.map { "\($0)/\(profile.application).conf" } }
    }

    private static func files(in settings: ServiceSettings, _ isWanted: (String) -> Bool) -> [String] {
        var out: [String] = []
        for row in ParameterTable.all where isWanted(row.name) && !settings.isDefault(row.name) {
            guard !excluded.contains(row.name), !row.name.hasSuffix("_cache_database") else { continue }
            for word in settings.text(row.name).split(whereSeparator: { " \t\n,{}".contains($0) }) {
                // `type:/file` of a table, `/file` of a list or a key.
                let path = word.drop { $0 != "/" }
                let type = word.prefix(word.count - path.count)
                guard path.count > 1, type.isEmpty || (type.hasSuffix(":") && type.dropLast().allSatisfy { $0.isLetter || $0.isNumber })
                else { continue }
                if FileIdentity.isRegularFile(String(path)) { out.append(String(path)) }
            }
        }
        return out
    }

    /// FNV-1a, 64 bits: to tell states of files apart, not to keep anybody from anything.
    private static func hash(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }
}
