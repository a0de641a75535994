import NIOCore
import SMTPCore
import Tables

@testable import Resolver
@testable import Settings

extension FuzzTarget {
    private static let settingWords = [
        "mynetworks", "smtpd_recipient_restrictions", "permit_mynetworks", "check_client_access", "inline:", "$", "${", "}", "?", ":", "{",
        "==",
        "smtpd", "inet", "unix", " -o ", "n", "-", "\n ", "#", "= ", ",", "$myhostname", "hash:/f", "/f", "3.6", "<=level", "yes", "10s",
        "\n%%\n",
    ]

    /// main.cf, then master.cf behind a line of `%%`.
    static let configuration = FuzzTarget(
        "configuration",
        words: settingWords,
        seeds: [
            "myhostname = a.b\nmynetworks = 127.0.0.0/8, [::1]/128\nsmtpd_recipient_restrictions = permit_mynetworks, reject\n%%\nsmtp inet n - n - - smtpd\n -o a=b\n",
            "a = ${b?{c}:{d}}\nb = $a\n%%\n587 inet n - y - - smtpd -o { smtpd_tls_wrappermode = yes }\nx unix - - n - 1 smtp\n",
            "mydestination = /f, $myhostname\nx = ${{$compatibility_level} <level {3.6} ? {y} : {n}}\n",
        ]
    ) { bytes in
        let parts = bytes.split(separator: Array("\n%%\n".utf8), maxSplits: 1).map(Array.init)
        let main = parts.first ?? []
        let master = parts.count > 1 ? parts[1] : Array("smtp inet n - n - - smtpd\n".utf8)
        let environment = machine(["/c/main.cf": main, "/c/master.cf": master, "/f": Array("a, $b\n!c\n/f\n".utf8)])
        let (configuration, diagnostics) = Configuration.examine(directory: "/c", environment: environment)
        try require(diagnostics.count <= 100 + bytes.count * 4, "\(diagnostics.count) diagnostics for \(bytes.count) bytes")
        for diagnostic in diagnostics { _ = diagnostic.description }
        _ = configuration?.smtpdServices
        let mainFile = MainFile(ConfigText(main), file: "main.cf")
        let report = ConfReport(
            main: mainFile,
            master: MasterFile(ConfigText(master), file: "master.cf"),
            directory: "/c",
            environment: environment
        )
        _ = report.parameters(.set, expand: true)
    }

    private static func machine(_ files: [String: [UInt8]]) -> LoadEnvironment {
        LoadEnvironment(
            readFile: { path in files[path].map { .success($0) } ?? .failure(.init(message: "No such file or directory")) },
            resolve: { _ in [] },
            facts: HostFacts(hostName: "mx", interfaces: [.init(address: .v4(0x7F00_0001), prefixLength: 8)]),
            hasIPv6: true
        )
    }

    static let tables = FuzzTarget(
        "tables",
        words: ["inline:{", "cidr:{", "static:", "}", "{", "=", ",", "192.0.2.0/24", "::/0", "if ", "endif", "!", "REJECT", " ", "\n"],
        seeds: ["inline:{ a=b, {c = d e} }", "cidr:{ {192.0.2.0/24 OK}, {::/0 REJECT no} }", "static:x", "static:{a b}"]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        // Types that read files are not for made-up names.
        guard ["inline:", "cidr:{", "static:"].contains(where: text.hasPrefix) else { return }
        _ = try? TableRegistry().open(text)
    }

    static let values = FuzzTarget(
        "values",
        words: [
            "nameserver ", "search ", "options ", "ndots:", "timeout:", "127.0.0.1", "::1", "localhost", "\n", "#", "4.7.1", "99999999999",
            "d", "/",
        ],
        seeds: [
            "nameserver 127.0.0.1\noptions timeout:1 ndots:2\n", "127.0.0.1 localhost a\n::1 b\n", "4.7.1", "10d", "1A2B3C", "$a ${b?c}",
        ]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        if let status = EnhancedStatusCode(text[...]) { try require(EnhancedStatusCode("\(status)"[...]) == status, "\(status)") }
        if let id = QueueID(text) { try require(QueueID("\(id)") == id, "\(id)") }
        for unit in TimeUnit.allCases { try require(TimeValue.seconds(text, unit: unit) ?? 0 >= 0, "a negative time") }
        if let name = DomainName(text) { try require(name.wire.count <= 255, "a long name") }
        var expander = Expander { $0 == "a" ? text : nil }
        _ = try? expander.expand(text)
        _ = (Expander.references(in: text), Expander.plainReferences(in: text))
        _ = (ListSyntax.elements(text), CompatibilityLevel(text))
    }
}
