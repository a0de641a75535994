import Foundation
import Testing

@testable import TLS

@Suite struct CertificateTests {
    let certificates: Certificates

    init() throws { certificates = try Certificates() }

    @Test func opensslAcceptsOurCertificate() throws {
        let pair = try certificates.make("own", names: ["mail.example.com", "*.example.com", "127.0.0.1", "::1"], days: 825)
        let text = try openssl(["x509", "-in", pair.certificateFile, "-noout", "-text"])
        #expect(text.contains("DNS:mail.example.com, DNS:*.example.com, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"))
        #expect(text.contains("CA:FALSE"))
        #expect(text.contains("ASN1 OID: prime256v1"))
        #expect(text.contains("TLS Web Server Authentication"))
        #expect(try openssl(["verify", "-CAfile", pair.certificateFile, pair.certificateFile]).contains(": OK"))
        let mode = try FileManager.default.attributesOfItem(atPath: pair.keyFile)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        #expect(try FileManager.default.contentsOfDirectory(atPath: certificates.path).sorted() == ["own.key", "own.pem"])
    }

    @Test func existingFilesStay() throws {
        let pair = try certificates.make("own")
        let before = try certificates.text("own.key")
        let other = try SelfSignedCertificate.make(names: ["x.example"])
        #expect(throws: SelfSignedCertificate.Failure.file(pair.certificateFile, reason: "File exists")) {
            try other.write(certificateFile: pair.certificateFile, keyFile: pair.keyFile)
        }
        #expect(throws: SelfSignedCertificate.Failure.file(pair.keyFile, reason: "File exists")) {
            try other.write(certificateFile: certificates.file("new.pem"), keyFile: pair.keyFile)
        }
        #expect(try certificates.text("own.key") == before)
        #expect(!FileManager.default.fileExists(atPath: certificates.file("new.pem")))
        try other.write(certificateFile: pair.certificateFile, keyFile: pair.keyFile, overwrite: true)
        #expect(try certificates.text("own.key") == other.privateKey)
        #expect(try FileManager.default.contentsOfDirectory(atPath: certificates.path).sorted() == ["own.key", "own.pem"])
    }

    @Test func oneFileForBoth() throws {
        let file = certificates.file("both.pem")
        try SelfSignedCertificate.make(names: ["a.example"]).write(certificateFile: file, keyFile: file)
        #expect(try serverContext(TLSKeyPair(certificateFile: file, keyFile: file)).certificates.count == 1)
        #expect(try TLSCertificateFile.key(file, matches: file))
    }

    @Test func unwritableDirectory() throws {
        let file = certificates.file("no/such/dir.pem")
        #expect(throws: SelfSignedCertificate.Failure.self) {
            try SelfSignedCertificate.make(names: ["a"]).write(certificateFile: file, keyFile: file)
        }
    }

    @Test(arguments: ["", "a b", "a,DNS:evil.example", "a\n", "a;b", "1:2,IP:3", "é.example", String(repeating: "a", count: 254)])
    func badNames(name: String) {
        #expect(throws: SelfSignedCertificate.Failure.badName(name)) { try SelfSignedCertificate.make(names: [name]) }
    }

    @Test func wrongAddress() {
        #expect(throws: SelfSignedCertificate.Failure.self) { try SelfSignedCertificate.make(names: ["12:zz"]) }
        #expect(throws: SelfSignedCertificate.Failure.noNames) { try SelfSignedCertificate.make(names: []) }
    }

    @Test func longCommonName() throws {
        let name = String(repeating: "a", count: 60) + "." + String(repeating: "b", count: 60) + ".example"
        let made = try SelfSignedCertificate.make(names: [name])
        try certificates.write("long.pem", made.certificate)
        #expect(try TLSCertificateFile.read(certificates.file("long.pem")).first?.names == [name])
    }

    @Test(arguments: [
        (0, "1970-01-01 00:00:00 UTC"), (951_782_399, "2000-02-28 23:59:59 UTC"), (951_782_400, "2000-02-29 00:00:00 UTC"),
        (1_795_315_364, "2026-11-22 02:42:44 UTC"), (-1, "1969-12-31 23:59:59 UTC"), (253_402_300_799, "9999-12-31 23:59:59 UTC"),
    ])
    func dates(seconds: Int, text: String) { #expect(TLSCertificateSummary.utc(seconds) == text) }
}

@Suite struct FactsTests {
    @Test(arguments: [
        // What Postfix 3.7.11 printed for these certificates.
        ("a)b(c\"d", "a?b(c\"d)"), ("a\\\\b \u{e9}", "a??b ??"), ("client (x)", "client (x)"), ("", ""), ("a\r\nb", "a??b"), ("((", "(())"),
    ])
    func comments(text: String, safe: String) { #expect(TLSFacts.comment(text) == safe) }

    @Test func receivedLines() {
        var facts = TLSFacts()
        facts.protocolVersion = "TLSv1.3"
        facts.cipher = "TLS_AES_256_GCM_SHA384"
        (facts.usedBits, facts.algorithmBits) = (256, 256)
        #expect(
            facts.receivedHeaderLines(askedForCertificate: false) == [
                "(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))", "(No client certificate requested)",
            ]
        )
        facts.keyExchange = "X25519"
        facts.serverSignature = "RSA-PSS (2048 bits)"
        facts.serverDigest = "SHA256"
        #expect(
            facts.receivedHeaderLines(askedForCertificate: true) == [
                "(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
                " key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)",
                "(Client did not present a certificate)",
            ]
        )
        facts.clientSignature = "ED25519"
        facts.peerCertificatePresent = true
        facts.peerCommonName = "client"
        facts.peerIssuerName = "Test CA"
        #expect(
            facts.receivedHeaderLines(askedForCertificate: true) == [
                "(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
                " key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256",
                " client-signature ED25519)",
                "(Client CN \"client\", Issuer \"Test CA\" (not verified))",
            ]
        )
    }
}
