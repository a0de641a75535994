/// What a certificate says about itself.
package struct TLSCertificateSummary: Sendable, Hashable {
    package var file: String
    /// RFC 2253 text.
    package var subject: String
    package var issuer: String
    /// The DNS names and IP addresses of subjectAltName.
    package var names: [String]
    /// Seconds since 1970, UTC.
    package var notBefore: Int
    package var notAfter: Int
    package var isExpired: Bool
    /// `RSA`, `EC`, `ED25519`, ...
    package var keyType: String

    init(_ certificate: Certificate, file: String) {
        self.file = file
        subject = certificate.subject
        issuer = certificate.issuer
        names = certificate.names
        notBefore = certificate.notBefore
        notAfter = certificate.notAfter
        isExpired = certificate.isExpired
        keyType = certificate.keyType
    }
}

extension TLSCertificateSummary {
    /// `2029-02-23 03:12:44 UTC`
    package var notBeforeText: String { Self.utc(notBefore) }
    package var notAfterText: String { Self.utc(notAfter) }

    /// Howard Hinnant's civil_from_days, for the proleptic Gregorian calendar.
    static func utc(_ seconds: Int) -> String {
        let days = (seconds >= 0 ? seconds : seconds - 86399) / 86400
        let time = seconds - days * 86400
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(year)-\(two(month))-\(two(day)) \(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60)) UTC"
    }
}
