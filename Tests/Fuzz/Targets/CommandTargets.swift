import SMTPCore

@testable import Submission

extension FuzzTarget {
    private static let addressSeeds = [
        "<>", "<a@b.example>", "<\"a b\"@c.example>", "<@r,@s:a@b>", "<a@[192.0.2.1]>", "<a@[IPv6:2001:db8::1]>", "a@b (comment)",
        "<a\\@b@c>",
        "Name <a@b>", "<\"a\\\"b\"@c>", "<a%b@c>", "<a!b>", "<postmaster>", "<\u{E4}@b>", "<a@b.>", "<g: a@b;>", "<a.b..c@d>",
    ]
    private static let addressWords = [
        "<", ">", "@", "\"", "\\", "(", ")", "[", "]", ",", ":", ";", ".", "a", "b.example", "\u{E4}", "IPv6:", " ",
    ]

    static let commandLine = FuzzTarget(
        "command-line",
        words: ["MAIL", "RCPT", "FROM:", "TO:", "<", ">", "\"", "\\", " ", "\t", "\u{B}", "SIZE=1", "EHLO", "AUTH", "VRFY"],
        seeds: [
            "MAIL FROM:<a@b> SIZE=1 BODY=8BITMIME", "rcpt to: <\"a b\"@c> NOTIFY=NEVER", "EHLO x", "AUTH PLAIN =", "MAIL FROM:<a\\> b>",
            "  ",
        ]
    ) { bytes in
        let line = CommandLine(bytes)
        var end = 0
        for (index, token) in line.tokens.enumerated() {
            try require(token.range.lowerBound >= end && !token.range.isEmpty, "token \(index) overlaps or is empty")
            try require(line.bytes[end..<token.range.lowerBound].allSatisfy(\.isBlank), "text between tokens was lost")
            try require(!line.bytes[token.range.lowerBound].isBlank, "token \(index) begins with a blank")
            end = token.range.upperBound
        }
        try require(line.bytes[end...].allSatisfy(\.isBlank), "text behind the last token was lost")
        if let key = line.verbKey { _ = VerbTable.index(of: key) }
        for index in 0..<line.count { _ = (line.text(index), line.matches(index, "from:")) }
        _ = (Session.printable(bytes), Session.escaped(bytes))
        try require(Session.escaped(bytes).utf8.allSatisfy { (0x20..<0x7F).contains($0) }, "a control character in log text")
    }

    static let path = FuzzTarget("path", words: addressWords, seeds: addressSeeds) { bytes in
        let tolerant = PathParser.parse(bytes[...])
        for result in [tolerant, PathParser.parse(bytes[...], strict: true)] {
            switch result {
            case .address(let address), .nonASCII(let address):
                try checkOnward(address, from: bytes)
                let other = Address(localPart: "s", domain: "b.example")
                let delimiters = VERPDelimiters(outer: UInt8(ascii: "+"), inner: UInt8(ascii: "="))
                try checkVERP(delimiters, sender: other, recipient: address, from: bytes)
                try checkVERP(delimiters, sender: address, recipient: other, from: bytes)
            case .illegal: break
            }
        }
        _ = Address.isDotString(String(decoding: bytes, as: UTF8.self))
        if let ip = IPAddress(String(decoding: bytes, as: UTF8.self)) {
            try require(IPAddress(ip.description) == ip, "\(ip) reads as something else than was written")
        }
        if let network = IPNetwork(String(decoding: bytes, as: UTF8.self)) { _ = network.contains(.v4(0x7F00_0001)) }
    }

    /// What we judged is what the next hop reads: an address, written as the relay writes it, is one token and the same address.
    static func checkOnward(_ address: Address, from bytes: [UInt8]) throws {
        let text = "MAIL FROM:<\(address)> SIZE=1"
        try require(!text.utf8.contains { $0 == 0 || $0 == 0x0A || $0 == 0x0D }, "line end or NUL in \(shown(text.utf8))")
        let line = CommandLine(text)
        try require(line.count == 4 && line.text(3) == "SIZE=1", "\(shown(bytes)) becomes a command of other words: \(shown(text.utf8))")
        let again: Address? =
            switch PathParser.parse(line[2]) {
            case .address(let address), .nonASCII(let address): address
            case .illegal: nil
            }
        // As bytes: text that looks the same is not enough.
        let isSame = again.map { Array($0.description.utf8) == Array(address.description.utf8) && $0.domain == address.domain } ?? false
        try require(
            isSame,
            "\(shown(text.utf8)), which reads as \(again.map { shown($0.description.utf8) } ?? "none"), from \(shown(bytes))"
        )
    }
}
