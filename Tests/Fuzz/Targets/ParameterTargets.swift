import SMTPCore
import Settings

@testable import Submission

extension FuzzTarget {
    /// The parameters of MAIL and of RCPT, behind the path.
    static let parameters = FuzzTarget(
        "parameters",
        words: [
            "SIZE=", "BODY=", "8BITMIME", "7BIT", "AUTH=", "<>", "RET=", "FULL", "HDRS", "ENVID=", "NOTIFY=", "NEVER", "SUCCESS", "FAILURE",
            "DELAY", ",", "ORCPT=", "rfc822;", "utf-8;", "=", "+", "+2B", "\\x{", "}", "9223372036854775807", "SMTPUTF8", "XVERP",
            "XVERP=+=", "XVERP=#/",
        ],
        seeds: [
            "SIZE=1 BODY=7BIT", "AUTH=<> BODY=8BITMIME", "RET=HDRS ENVID=a+20b", "NOTIFY=NEVER ORCPT=rfc822;a+40b",
            "SIZE=99999999999999999999", "SMTPUTF8 RET=FULL", "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=utf-8;\\x{E4}@b",
            "NOTIFY=success ORCPT=x;\u{E4}", "XVERP SIZE=2", "XVERP=-= xverp=+-", "XVERP=\"\" XVERP=a@ XVERP=.=", "XVERP=#/ XVERP=$%",
        ]
    ) { bytes in
        let line = CommandLine(bytes)
        for (takesUTF8, takesDSN, verpSyntax) in [(true, true, nil), (false, false, verpSyntaxes[0]), (true, true, verpSyntaxes[1])] {
            var mail = MailParameters(takesUTF8: takesUTF8, takesDSN: takesDSN, verpSyntax: verpSyntax)
            var rcpt = RcptParameters(takesDSN: takesDSN)
            for index in 0..<line.count {
                if let refusal = mail.read(line[index]) { try checkRefusal(refusal) }
                if let refusal = rcpt.read(line[index]) { try checkRefusal(refusal) }
                let warning = rcpt.warning ?? ""
                try require(warning.utf8.allSatisfy { (0x20..<0x7F).contains($0) }, "control character in \(shown(warning.utf8))")
            }
            try require(mail.size ?? 0 >= 0, "a negative size")
            try require(takesUTF8 || !mail.isUTF8, "SMTPUTF8 where it is off")
            try checkEnvelopeID(mail.envelopeID)
            if let delimiters = mail.verpDelimiters {
                try require(verpSyntax != nil, "XVERP where it is not allowed")
                try checkVERP(delimiters)
            }
            if !rcpt.originalRecipient.isEmpty { try checkOriginalRecipient(rcpt.originalRecipient) }
            guard takesDSN else {
                let isEmpty =
                    mail.envelopeID.isEmpty && mail.returns == .unspecified && rcpt.notify.isEmpty && rcpt.originalRecipient.isEmpty
                return try require(isEmpty, "DSN where it is off")
            }
            if let text = mail.returns.parameter { try require(ReturnedContent(parsing: text.utf8) == mail.returns, "RET=\(text)") }
            if !rcpt.notify.isEmpty {
                try require(NotifyConditions(parsing: rcpt.notify.parameter.utf8) == rcpt.notify, "NOTIFY=\(rcpt.notify.parameter)")
            }
        }
    }

    /// What a client may say by default, and with a filter that lets every character through that can be written.
    private static let verpSyntaxes: [VERPSyntax] = {
        let all = String(decoding: 0x21..<0x7F, as: UTF8.self).split(separator: "$").joined(separator: "$$")
        return [[:], ["verp_delimiter_filter": all]].map { main in
            do { return try VERPSyntax(ServiceSettings.testing(main, serviceName: "smtp")) } catch { fatalError("\(error)") }
        }
    }()

    /// The senders that the delimiters make are read by the next hop as they were meant.
    static func checkVERP(_ delimiters: VERPDelimiters) throws {
        let bytes = [delimiters.outer, delimiters.inner]
        try require(Address.isAtomText(bytes[0]) && Address.isAtomText(bytes[1]), "delimiters \(shown(bytes))")
        let served = [
            Address(localPart: "c", domain: "d.example"), Address(localPart: "a b\"", domain: "[192.0.2.1]"),
            .init(localPart: "c", domain: nil),
        ]
        for recipient in served { try checkVERP(delimiters, sender: served[0], recipient: recipient, from: bytes) }
    }

    static func checkVERP(_ delimiters: VERPDelimiters, sender: Address, recipient: Address, from bytes: [UInt8]) throws {
        var envelope = Envelope(sender: sender, recipients: [Recipient(address: recipient)])
        envelope.verpDelimiters = delimiters
        let made = envelope.sender(for: envelope.recipients[0])
        guard !sender.isNull else { return try require(made.isNull, "a sender for the null sender") }
        let (outer, inner) = (Character(Unicode.Scalar(delimiters.outer)), Character(Unicode.Scalar(delimiters.inner)))
        let expected = sender.localPart + String(outer) + recipient.localPart + (recipient.domain.map { String(inner) + $0 } ?? "")
        try require(
            Array(made.localPart.utf8) == Array(expected.utf8) && made.domain == sender.domain,
            "\(made) of \(sender) for \(recipient)"
        )
        try checkOnward(made, from: bytes)
    }

    private static func checkRefusal(_ refusal: Reply) throws {
        try require(refusal.code >= 400, "a refusal that is none: \(refusal)")
        try require(refusal.wire.utf8.dropLast(2).allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "control character in \(refusal)")
    }

    /// xtext and unitext, as ORCPT and ENVID have them.
    static let xtext = FuzzTarget(
        "xtext",
        words: ["+", "+2B", "+00", "+0D+0A", "+c3+a4", "\\x{", "}", "\\x{D800}", "\\x{10FFFF}", "rfc822;", "utf-8;", "UTF-8;", ";", "="],
        seeds: [
            "a+2Bb@c.d", "rfc822;a+40b", "utf-8;\\x{E4}\\x{1F600}@b", "utf-8;\u{E4}@b", "x;+0D+0AFrom:+20y", "rfc822;", ";a", "+", "\\x{}",
        ]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        let encoded = XText.encoded(text)
        try requireWord(encoded, atMost: text.utf8.count * 3)
        try require(XText.decoded(encoded.utf8) == Array(text.utf8), "\(shown(bytes)) becomes \(encoded)")
        let unitext = XText.encodedUnitext(text)
        try requireWord(unitext, atMost: text.utf8.count * 6)
        try require(XText.decodedUnitext(unitext.utf8).map { Array($0.utf8) } == Array(text.utf8), "\(shown(bytes)) becomes \(unitext)")
        if let decoded = XText.decoded(bytes) {
            try require(decoded.count <= bytes.count, "\(shown(bytes)) grows")
            if decoded.count < bytes.count {
                try require(bytes.contains(UInt8(ascii: "+")), "\(shown(bytes)) shrinks to \(shown(decoded))")
            }
        }
        if let decoded = XText.decodedUnitext(bytes) { try require(decoded.utf8.count <= bytes.count, "\(shown(bytes)) grows") }
        if let decoded = EnvelopeIdentifier.decoded(bytes) { try checkEnvelopeID(decoded) }
        for value in [bytes, Array("rfc822;".utf8) + bytes, Array("utf-8;".utf8) + bytes] {
            if let decoded = OriginalRecipient.decoded(value) { try checkOriginalRecipient(decoded) }
        }
    }

    private static func requireWord(_ text: String, atMost limit: Int) throws {
        try require(text.utf8.allSatisfy { (0x21..<0x7F).contains($0) && $0 != UInt8(ascii: "=") }, "no word: \(shown(text.utf8))")
        try require(text.utf8.count <= limit, "\(text.utf8.count) bytes where \(limit) are the most")
    }

    /// One line of a report, and one word of the next hop's MAIL, where it means the same.
    static func checkEnvelopeID(_ id: String) throws {
        try require(id.utf8.allSatisfy { (0x20..<0x7F).contains($0) }, "not printable: \(shown(id.utf8))")
        guard !id.isEmpty else { return }
        let line = CommandLine("MAIL FROM:<a@b> ENVID=\(XText.word(id)) RET=FULL")
        try require(line.count == 5 && line.text(4) == "RET=FULL", "ENVID \(id) becomes other words")
        try require(EnvelopeIdentifier.decoded(line[3].dropFirst(6)) == id, "ENVID \(id) becomes \(line.text(3))")
    }

    /// One line of a report, and one word of the next hop's RCPT, where it means the same.
    static func checkOriginalRecipient(_ original: String) throws {
        let isHarmless = original.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F..<0xA0).contains($0.value) }
        try require(isHarmless, "control character in \(shown(original.utf8))")
        let encoded = OriginalRecipient.encoded(original)
        try require(encoded.utf8.allSatisfy { (0x21..<0x7F).contains($0) }, "no word: \(shown(encoded.utf8))")
        try require(encoded.utf8.count <= original.utf8.count * 8, "\(shown(original.utf8)) becomes \(encoded.utf8.count) bytes")
        let line = CommandLine("RCPT TO:<a@b> ORCPT=\(encoded) NOTIFY=NEVER")
        try require(line.count == 5 && line.text(4) == "NOTIFY=NEVER", "ORCPT \(shown(original.utf8)) becomes other words: \(encoded)")
        let again = OriginalRecipient.decoded(line[3].dropFirst(6))
        try require(again.map { Array($0.utf8) } == Array(original.utf8), "ORCPT \(shown(original.utf8)) becomes \(encoded)")
    }
}
