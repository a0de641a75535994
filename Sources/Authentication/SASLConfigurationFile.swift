/// An `smtpd.conf` of libsasl2: `option: value` lines. Read by us only to explain and to find sasldb; the library reads it for itself.
package struct SASLConfigurationFile: Sendable, Hashable {
    package var path: String
    package var settings: [String: String]

    /// Lines that begin with `#` and empty ones are skipped; the last value of an option wins; white space around a value is dropped.
    package init(path: String, text: String) {
        self.path = path
        settings = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            guard line.first != "#", let colon = line.firstIndex(of: ":") else { continue }
            let name = line[..<colon].trimmingSpaces().lowercased()
            if !name.isEmpty { settings[name] = line[line.index(after: colon)...].trimmingSpaces() }
        }
    }

    /// The words of `pwcheck_method`, tried in order.
    package var passwordMethods: [String] { words("pwcheck_method", default: "auxprop") }
    /// The words of `auxprop_plugin`; empty means every plug-in that is installed.
    package var auxiliaryPlugins: [String] { words("auxprop_plugin", default: "") }
    package var saslauthdPath: String { settings["saslauthd_path"] ?? CyrusDefaults.paths["saslauthd_path"] ?? "" }
    package var sasldbPath: String { settings["sasldb_path"] ?? CyrusDefaults.paths["sasldb_path"] ?? "" }
    package var usesSaslauthd: Bool { passwordMethods.contains("saslauthd") }
    /// Whether accounts of sasldb can log in: with a plain password, or by a mechanism that needs the stored one.
    package var usesSasldb: Bool {
        guard auxiliaryPlugins.isEmpty || auxiliaryPlugins.contains("sasldb") else { return false }
        let mechanisms = words("mech_list", default: "")
        return passwordMethods.contains("auxprop") || mechanisms.isEmpty
            || mechanisms.contains { !["plain", "login", "anonymous"].contains($0) }
    }

    private func words(_ option: String, default value: String) -> [String] {
        (settings[option] ?? value).split(whereSeparator: { " \t,".contains($0) }).map { $0.lowercased() }
    }
}

extension Substring {
    func trimmingSpaces() -> String {
        var part = self
        while part.first == " " || part.first == "\t" { part.removeFirst() }
        while part.last == " " || part.last == "\t" || part.last == "\r" { part.removeLast() }
        return String(part)
    }
}
