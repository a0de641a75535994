import Foundation
import Testing

@testable import TLS

@Suite struct ProtocolRangeTests {
    @Test(arguments: [
        ("", ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
        (">=TLSv1", ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
        (">=tlsv1.2", ["TLSv1.2", "TLSv1.3"]),
        (">=TLSv1.2, <=TLSv1.2", ["TLSv1.2"]),
        (">=0303", ["TLSv1.2", "TLSv1.3"]),
        (">=0x303 <=0x0303", ["TLSv1.2"]),
        (">=301", ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
        ("!SSLv2, !SSLv3", ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
        ("!SSLv2:!SSLv3:!TLSv1:!TLSv1.1", ["TLSv1.2", "TLSv1.3"]),
        ("TLSv1.2 !TLSv1.1", ["TLSv1.2"]),
        ("TLSv1.2,TLSv1.3", ["TLSv1.2", "TLSv1.3"]),
        ("!TLSv1.3", ["TLSv1", "TLSv1.1", "TLSv1.2"]),
        ("TLSv1.3 !TLSv1.3", []),
    ])
    func allowed(text: String, names: [String]) throws {
        let known: [TLSProtocolRange.Version: String] = [
            .tlsv1: "TLSv1", .tlsv11: "TLSv1.1", .tlsv12: "TLSv1.2", .tlsv13: "TLSv1.3",
        ]
        #expect(try TLSProtocolRange(text).allowed.map { known[$0] } == names)
    }

    @Test(arguments: ["FOO", "TLSv1.4", ">=", ">= TLSv1", "=>TLSv1", "!", ">=0x", ">=+301", "<=999999999999999999", ">=-1", "!0x303"])
    func invalid(text: String) {
        #expect(throws: TLSProtocolRange.Invalid.self) { try TLSProtocolRange(text) }
    }
}

@Suite struct PEMBlockTests {
    @Test func blocks() throws {
        let text =
            "junk\n-----BEGIN A-----\r\nAAA=\r\n-----END A-----\r\n\n-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n-----END EC PRIVATE KEY-----"
        let blocks = try #require(PEMBlock.parse(Array(text.utf8)))
        #expect(blocks.map(\.label) == ["A", "EC PRIVATE KEY"])
        #expect(String(decoding: blocks[0].bytes, as: UTF8.self) == "-----BEGIN A-----\r\nAAA=\r\n-----END A-----\r\n")
        #expect(blocks.map(\.isEncrypted) == [false, true])
    }

    @Test(arguments: ["", "-", "-----BEGIN -----", "-----BEGIN A----", "-----END A-----\n", "\n\n\n"]) func none(text: String) {
        let blocks = PEMBlock.parse(Array(text.utf8))
        #expect(blocks?.isEmpty ?? (text == "-----BEGIN -----"))
    }

    @Test func unfinished() {
        #expect(PEMBlock.parse(Array("-----BEGIN A-----\nAAA=\n-----END B-----\n".utf8)) == nil)
    }
}

@Suite struct ConfigurationTests {
    let certificates: Certificates

    init() throws { certificates = try Certificates() }

    private func problems(_ adjust: (inout TLSServerConfiguration) -> Void) throws -> [TLSProblem] {
        var configuration = TLSServerConfiguration()
        adjust(&configuration)
        do { _ = try TLSContext.server(configuration) } catch { return error.problems }
        return []
    }

    @Test func goodPair() throws {
        let context = try serverContext(
            certificates.make("ec", names: ["mx.test.example", "192.0.2.1", "2001:db8::1", "*.test.example"], days: 30)
        )
        #expect(context.warnings.isEmpty)
        let summary = try #require(context.certificates.first)
        #expect(summary.subject == "CN=mx.test.example")
        #expect(summary.names == ["mx.test.example", "192.0.2.1", "2001:db8:0:0:0:0:0:1", "*.test.example"])
        #expect(summary.keyType == "EC")
        #expect(abs(Double(summary.notAfter) - Date().timeIntervalSince1970 - 30 * 86400) < 100)
    }

    @Test func missingFiles() throws {
        let problems = try problems { $0.pair = certificates.pair("nope") }
        #expect(problems.map(\.setting) == [.certificateFile, .keyFile])
        #expect(
            problems.map(\.text) == [
                "cannot read \(certificates.file("nope.pem")): No such file or directory",
                "cannot read \(certificates.file("nope.key")): No such file or directory",
            ]
        )
        #expect(problems[0].setting.parameter(prefix: "smtpd") == "smtpd_tls_cert_file")
    }

    @Test func directoryAndFIFO() throws {
        try certificates.make("ec")
        try FileManager.default.createDirectory(atPath: certificates.file("dir"), withIntermediateDirectories: false)
        let made = unsafe mkfifo(certificates.file("fifo"), 0o600)
        #expect(made == 0)
        let problems = try problems {
            $0.pair = TLSKeyPair(certificateFile: certificates.file("dir"), keyFile: certificates.file("fifo"))
        }
        #expect(
            problems.map(\.text) == [
                "cannot read \(certificates.file("dir")): Is a directory", "cannot read \(certificates.file("fifo")): Not a regular file",
            ]
        )
    }

    @Test func unreadableKey() throws {
        let pair = try certificates.make("ec")
        let changed = unsafe chmod(pair.keyFile, 0)
        #expect(changed == 0)
        let problems = try problems { $0.pair = pair }
        // root reads everything.
        #expect(problems.map(\.text) == (geteuid() == 0 ? [] : ["cannot read \(pair.keyFile): Permission denied"]))
    }

    @Test func mismatch() throws {
        try certificates.make("a")
        try certificates.make("b")
        let problems = try problems {
            $0.pair = TLSKeyPair(certificateFile: certificates.file("a.pem"), keyFile: certificates.file("b.key"))
        }
        #expect(problems.map(\.setting) == [.keyFile])
        #expect(
            problems.first?.text
                == "the private key in \(certificates.file("b.key")) does not belong to the certificate in \(certificates.file("a.pem"))"
        )
    }

    @Test func swappedFiles() throws {
        let pair = try certificates.make("a")
        let problems = try problems { $0.pair = TLSKeyPair(certificateFile: pair.keyFile, keyFile: pair.certificateFile) }
        #expect(problems.map(\.text) == ["\(pair.keyFile) holds no certificate", "\(pair.certificateFile) holds no private key"])
    }

    @Test func notPEM() throws {
        let pair = try certificates.make("a")
        try openssl(["x509", "-in", pair.certificateFile, "-outform", "der", "-out", certificates.file("a.der")])
        try certificates.write("text", "hello\n")
        let problems = try problems {
            $0.pair = TLSKeyPair(certificateFile: certificates.file("a.der"), keyFile: certificates.file("text"))
        }
        #expect(problems.first?.text.contains("looks like DER") == true)
        #expect(problems.last?.text == "\(certificates.file("text")) is not in PEM form")
    }

    @Test func damagedCertificate() throws {
        let pair = try certificates.make("a")
        try certificates.write("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        let problems = try problems { $0.pair = TLSKeyPair(certificateFile: certificates.file("bad.pem"), keyFile: pair.keyFile) }
        #expect(problems.first?.text.hasPrefix("\(certificates.file("bad.pem")): certificate 1 cannot be read: ") == true)
    }

    @Test(arguments: [["-traditional"], []]) func passphrase(form: [String]) throws {
        let pair = try certificates.make("a")
        try openssl(["pkey", "-in", pair.keyFile, "-aes256", "-passout", "pass:secret", "-out", certificates.file("enc.key")] + form)
        let problems = try problems { $0.pair = TLSKeyPair(certificateFile: pair.certificateFile, keyFile: certificates.file("enc.key")) }
        #expect(problems.map(\.setting) == [.keyFile])
        #expect(problems.first?.text.contains("is protected by a passphrase") == true)
    }

    @Test func expired() throws {
        let ca = try certificates.make("ca")
        try openssl(["x509", "-in", ca.certificateFile, "-signkey", ca.keyFile, "-days", "-1", "-out", certificates.file("old.pem")])
        let context = try serverContext(TLSKeyPair(certificateFile: certificates.file("old.pem"), keyFile: ca.keyFile))
        #expect(context.warnings.map(\.text) == ["the certificate in \(certificates.file("old.pem")) has expired"])
        #expect(context.certificates.first?.isExpired == true)
    }

    @Test func wrongChain() throws {
        try certificates.make("a")
        try certificates.make("b")
        try certificates.write("chain.pem", certificates.text("a.pem") + certificates.text("b.pem"))
        let context = try serverContext(TLSKeyPair(certificateFile: certificates.file("chain.pem"), keyFile: certificates.file("a.key")))
        #expect(
            context.warnings.map(\.text) == [
                "chain certificate 1 in \(certificates.file("chain.pem")) is not the issuer of the one before it"
            ]
        )
    }

    @Test func rsaAndECTogether() throws {
        let rsa = try certificates.make("rsa", kind: ["rsa:2048"])
        let ec = try certificates.make("ec")
        let context = try serverContext(rsa) { $0.ecPair = ec }
        #expect(context.certificates.map(\.keyType) == ["RSA", "EC"])
        let problems = try problems {
            $0.pair = ec
            $0.ecPair = ec
        }
        #expect(problems.first?.text.contains("a second EC certificate") == true)
    }

    @Test func chainFiles() throws {
        try certificates.make("ec")
        try certificates.make("rsa", kind: ["rsa:2048"])
        try certificates.write("rsa.chain", certificates.text("rsa.key") + certificates.text("rsa.pem"))
        var configuration = TLSServerConfiguration()
        configuration.chainFiles = ["ec.key", "ec.pem", "rsa.chain"].map(certificates.file)
        #expect(try TLSContext.server(configuration).certificates.map(\.keyType) == ["EC", "RSA"])
        let backwards = try problems { $0.chainFiles = [certificates.file("ec.pem"), certificates.file("ec.key")] }
        #expect(backwards.map(\.text) == ["\(certificates.file("ec.pem")): a certificate without its private key before it"])
        let keyOnly = try problems { $0.chainFiles = [certificates.file("ec.key")] }
        #expect(keyOnly.map(\.text) == ["\(certificates.file("ec.key")): a private key without a certificate after it"])
        let twoKeys = try problems { $0.chainFiles = ["ec.key", "rsa.chain"].map(certificates.file) }
        #expect(twoKeys.map(\.text) == ["\(certificates.file("rsa.chain")): a private key without a certificate after it"])
    }

    @Test func everyProblemAtOnce() throws {
        let pair = try certificates.make("ec")
        let problems = try problems {
            $0.pair = pair
            $0.policy.protocols = "FOO"
            $0.policy.cipherList = "BOGUS"
            $0.authorities.file = certificates.file("nope")
        }
        #expect(problems.map(\.setting) == [.protocols, .ciphers, .caFile])
        #expect(problems[0].text == "invalid TLS protocol list \"FOO\": FOO is not a TLS version")
        #expect(problems[1].text == "bad cipher list \"BOGUS\": no cipher match")
    }

    @Test func noVersionLeft() throws {
        let pair = try certificates.make("ec")
        let problems = try problems {
            $0.pair = pair
            $0.policy.protocols = ">=TLSv1.3, !TLSv1.3"
        }
        #expect(problems.map(\.text) == ["TLS protocol list \">=TLSv1.3, !TLSv1.3\" leaves no TLS version"])
    }

    @Test func whatPostfixOnlyWarnsAbout() throws {
        let context = try serverContext(certificates.make("ec")) {
            $0.policy.options = "NO_TICKET BOGUS"
            $0.policy.disabledWorkarounds = "nonsense, CVE-2010-4180"
            $0.policy.curves = ["bogus", "X25519", "P-256"]
            $0.dhParametersFile = certificates.file("nope")
            $0.authorities.directory = certificates.path
        }
        #expect(
            context.warnings.map(\.text) == [
                "unknown tls_ssl_options value \"BOGUS\" in \"NO_TICKET BOGUS\"",
                "unknown tls_disable_workarounds value \"nonsense\" in \"nonsense, CVE-2010-4180\"",
                "ignoring unknown ECDHE curve \"bogus\"",
                "cannot read DH parameter file \(certificates.file("nope")): No such file or directory; using the library's own",
                "\(certificates.path) holds no certificate with a hashed name (see openssl rehash)",
            ]
        )
    }

    @Test func noCertificate() throws {
        let problems = try problems { _ in }
        #expect(problems.map(\.text) == ["no server certificate is configured"])
    }

    @Test func optionMasks() {
        #expect(TLSOptionNames.mask("0x10", names: [:]).mask == 16)
        #expect(TLSOptionNames.mask("no_ticket, NO_RENEGOTIATION", names: TLSOptionNames.options).unknown.isEmpty)
        #expect(TLSOptionNames.mask("", names: [:]).mask == 0)
        #expect(TLSCiphers.list(grade: "HIGH", excluding: ["aNULL", "DES+MD5"]) == "HIGH:!aNULL:!DES+MD5")
    }

    @Test func curveGrades() {
        let grades = ["auto", "STRONG", "ultra", "none", "bogus"]
        let names = grades.map { TLSCurves.names(grade: $0, auto: ["X25519", "X448"], strong: "prime256v1", ultra: "secp384r1") }
        #expect(names == [["X25519", "X448"], ["prime256v1"], ["secp384r1"], [], nil])
    }
}
