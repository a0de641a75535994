import ArgumentParser
import TLS

/// `postern cert`: certificates for a first run, and a look at those in use.
struct CertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cert",
        abstract: "Make a self-signed certificate, or show what a certificate file holds.",
        subcommands: [SelfSigned.self, Show.self]
    )

    struct SelfSigned: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "selfsigned",
            abstract: "Make an EC P-256 key and a certificate signed by it."
        )

        @Option(help: "A host name or IP address the certificate is for; give it more than once for several.")
        var name: [String]

        @Option(help: "Days until it expires.")
        var days = 825

        @Option(help: ArgumentHelp("Where the certificate goes (PEM).", valueName: "file"))
        var outCert: String

        @Option(help: ArgumentHelp("Where the key goes (PEM, mode 0600). May be the certificate's file.", valueName: "file"))
        var outKey: String

        @Flag(help: "Replace files that exist.")
        var force = false

        func validate() throws {
            guard (1...36500).contains(days) else { throw ValidationError("--days must be from 1 to 36500") }
            guard !name.isEmpty else { throw ValidationError("--name is needed") }
        }

        func run() throws {
            try SelfSignedCertificate.make(names: name, validForDays: days)
                .write(certificateFile: outCert, keyFile: outKey, overwrite: force)
            print("\(outCert): certificate for \(name.joined(separator: ", ")), valid for \(days) days")
            print("\(outKey): its private key")
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Show subject, names and expiry of each certificate, and whether a key belongs to the first. Exit status 1 if it does not."
        )

        @Argument(help: "A PEM file with one or more certificates.")
        var file: String

        @Option(help: ArgumentHelp("The private key to compare.", valueName: "file"))
        var key: String?

        func run() throws {
            let certificates = try TLSCertificateFile.read(file)
            guard !certificates.isEmpty else { throw ValidationError("\(file) holds no certificate") }
            for certificate in certificates {
                print("subject: \(certificate.subject)")
                print("issuer: \(certificate.issuer)")
                print("names: \(certificate.names.isEmpty ? "none" : certificate.names.joined(separator: ", "))")
                print("key type: \(certificate.keyType)")
                print("not before: \(certificate.notBeforeText)")
                print("not after: \(certificate.notAfterText)\(certificate.isExpired ? " (EXPIRED)" : "")")
                print("")
            }
            guard let key else { return }
            let matches = try TLSCertificateFile.key(key, matches: file)
            print("key: \(key) \(matches ? "belongs" : "does NOT belong") to the first certificate")
            if !matches { throw ExitCode.failure }
        }
    }
}
