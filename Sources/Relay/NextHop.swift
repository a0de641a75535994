/// A next hop as transport tables and `relayhost` write it, for smtp(8) and lmtp(8).
struct NextHop: Sendable, Hashable {
    enum Target: Sendable, Hashable {
        /// Look up MX records, then addresses.
        case domain(String)
        /// `[host]`: addresses only. Also an address literal.
        case host(String)
        case unix(String)
    }

    var target: Target
    var port: Int
    /// Only then a look is taken whether the mail would come back to us.
    var usesDefaultPort: Bool

    /// The name as it stands in log lines: without brackets and port.
    var name: String {
        switch target {
        case .domain(let name), .host(let name), .unix(let name): name
        }
    }

    /// `host`, `host:port`, `[host]`, `[host]:port`; for LMTP also `unix:path` and `inet:host:port`, and never a look-up of MX records.
    /// nil when it is none of these.
    init?(_ text: some StringProtocol, dialect: ClientSettings.Dialect, defaultPort: Int) {
        var rest = String(text)
        if dialect == .lmtp {
            if rest.hasPrefix("unix:") {
                let path = String(rest.dropFirst(5))
                guard !path.isEmpty else { return nil }
                self.init(target: .unix(path), port: 0, usesDefaultPort: false)
                return
            }
            if rest.hasPrefix("inet:") { rest = String(rest.dropFirst(5)) }
        }
        var isBracketed = false
        var host: Substring
        var service: Substring?
        if rest.hasPrefix("[") {
            guard let close = rest.firstIndex(of: "]") else { return nil }
            isBracketed = true
            host = rest[rest.index(after: rest.startIndex)..<close]
            let tail = rest[rest.index(after: close)...]
            guard tail.isEmpty || tail.hasPrefix(":") else { return nil }
            service = tail.isEmpty ? nil : tail.dropFirst()
        } else if let colon = rest.lastIndex(of: ":") {
            host = rest[..<colon]
            service = rest[rest.index(after: colon)...]
        } else {
            host = rest[...]
        }
        if isBracketed, host.lowercased().hasPrefix("ipv6:") { host = host.dropFirst(5) }
        guard !host.isEmpty, host.utf8.count <= 255, host.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else { return nil }
        guard let port = service.map({ Self.port($0) }) ?? defaultPort else { return nil }
        let name = String(host)
        let skipsMX = isBracketed || dialect == .lmtp
        self.init(target: skipsMX ? .host(name) : .domain(name), port: port, usesDefaultPort: port == defaultPort)
    }

    /// The next hops of a list, separated by commas or white space; the path of a UNIX socket may hold anything.
    static func parts(of text: String) -> [String] {
        text.hasPrefix("unix:") ? [text] : text.split(whereSeparator: { ", \t".contains($0) }).map(String.init)
    }

    init(target: Target, port: Int, usesDefaultPort: Bool) {
        self.target = target
        self.port = port
        self.usesDefaultPort = usesDefaultPort
    }

    /// A port number, or one of the service names that mail uses; nil for anything else.
    static func port(_ text: some StringProtocol) -> Int? {
        if let number = UInt16(text) { return number > 0 ? Int(number) : nil }
        return switch text.lowercased() {
        case "smtp": 25
        case "lmtp": 24
        case "submission": 587
        case "smtps", "submissions", "ssmtp", "urd": 465
        default: nil
        }
    }
}
