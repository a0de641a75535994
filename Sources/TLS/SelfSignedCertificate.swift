import COpenSSL
import Glibc

/// A new key (EC P-256) and a certificate for it, signed by the key itself: for a first run, until a CA's certificate takes its place.
package struct SelfSignedCertificate: Sendable {
    /// PEM texts.
    package let certificate: String
    package let privateKey: String

    package enum Failure: Error, Hashable, CustomStringConvertible {
        case noNames
        case badName(String)
        case library([String])
        case file(String, reason: String)

        package var description: String {
            switch self {
            case .noNames: "a certificate needs at least one name"
            case .badName(let name): "\"\(name)\" is neither a host name nor an IP address"
            case .library(let errors): "OpenSSL: \(errors.isEmpty ? "unknown error" : errors.joined(separator: "; "))"
            case .file(let file, let reason): "cannot write \(file): \(reason)"
            }
        }
    }

    /// `names` become subjectAltName (host names, `*.example.com`, IPv4 and IPv6 addresses), the first one also the common name.
    package static func make(names: [String], validForDays days: Int = 825) throws(Failure) -> SelfSignedCertificate {
        guard let first = names.first else { throw .noNames }
        let alternatives = try names.map { name throws(Failure) in try subjectAltName(name) }.joined(separator: ",")
        LibraryErrors.clear()
        guard let key = unsafe postern_generate_ec_p256(), let x509 = unsafe X509_new() else { throw .library(LibraryErrors.take()) }
        let privateKey = unsafe PrivateKey(owning: key)
        let certificate = unsafe Certificate(owning: x509)
        let isFilledIn = fill(certificate, key: privateKey, commonName: first, alternatives: alternatives, days: days)
        guard isFilledIn, unsafe X509_sign(certificate.pointer, privateKey.pointer, EVP_sha256()) > 0,
            let certificateText = unsafe pem({ unsafe PEM_write_bio_X509($0, certificate.pointer) }),
            let keyText = unsafe pem({ unsafe PEM_write_bio_PrivateKey($0, privateKey.pointer, nil, nil, 0, nil, nil) })
        else { throw .library(LibraryErrors.take()) }
        return SelfSignedCertificate(certificate: certificateText, privateKey: keyText)
    }

    /// Writes both files, the key (mode 0600) first. Each appears whole or not at all; an existing file is replaced only if `overwrite`.
    package func write(certificateFile: String, keyFile: String, overwrite: Bool = false) throws(Failure) {
        if certificateFile == keyFile {
            return try Self.write(privateKey + certificate, to: keyFile, mode: 0o600, overwrite: overwrite)
        }
        if !overwrite, unsafe access(certificateFile, F_OK) == 0 {
            throw .file(certificateFile, reason: errnoText(EEXIST))
        }
        try Self.write(privateKey, to: keyFile, mode: 0o600, overwrite: overwrite)
        try Self.write(certificate, to: certificateFile, mode: 0o644, overwrite: overwrite)
    }

    // MARK: Making

    private static func subjectAltName(_ name: String) throws(Failure) -> String {
        // The text goes into an extension's configuration syntax, so nothing but these characters may pass.
        let isAddress = name.contains(":") || name.split(separator: ".").allSatisfy { UInt8($0) != nil }
        let allowed: (UInt8) -> Bool = { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "."): true
            case UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "_"): !isAddress
            case UInt8(ascii: ":"): isAddress
            default: false
            }
        }
        guard !name.isEmpty, name.utf8.count <= 253, name.utf8.allSatisfy(allowed) else { throw .badName(name) }
        return (isAddress ? "IP:" : "DNS:") + name
    }

    private static func fill(_ certificate: Certificate, key: PrivateKey, commonName: String, alternatives: String, days: Int) -> Bool {
        let x509 = unsafe certificate.pointer
        var serial = [UInt8](repeating: 0, count: 16)
        guard unsafe RAND_bytes(&serial, CInt(serial.count)) == 1, let number = unsafe BN_bin2bn(serial, CInt(serial.count), nil) else {
            return false
        }
        defer { unsafe BN_free(number) }
        // X.520's upper bound for a common name is 64 characters; the names themselves are in subjectAltName.
        let shownName = Array(commonName.utf8.prefix(64))
        let name = unsafe X509_get_subject_name(x509)
        return unsafe X509_set_version(x509, CLong(X509_VERSION_3)) == 1
            && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != nil
            // An hour back, for clients whose clock is behind.
            && X509_gmtime_adj(X509_getm_notBefore(x509), -3600) != nil
            && X509_time_adj_ex(X509_getm_notAfter(x509), CInt(clamping: days), 0, nil) != nil
            && X509_set_pubkey(x509, key.pointer) == 1
            && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, shownName, CInt(shownName.count), -1, 0) == 1
            && X509_set_issuer_name(x509, name) == 1
            && postern_add_extension(x509, NID_basic_constraints, "critical,CA:FALSE") == 1
            && postern_add_extension(x509, NID_key_usage, "critical,digitalSignature") == 1
            && postern_add_extension(x509, NID_ext_key_usage, "serverAuth,clientAuth") == 1
            && postern_add_extension(x509, NID_subject_key_identifier, "hash") == 1
            && postern_add_extension(x509, NID_subject_alt_name, alternatives) == 1
    }

    private static func pem(_ write: (OpaquePointer) -> CInt) -> String? {
        guard let bio = unsafe BIO_new(BIO_s_mem()) else { return nil }
        defer { unsafe BIO_free(bio) }
        return unsafe write(bio) == 1 ? bioText(bio) : nil
    }

    // MARK: Writing

    private static func write(_ text: String, to file: String, mode: mode_t, overwrite: Bool) throws(Failure) {
        let temporary = "\(file).\(getpid()).tmp"
        let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw .file(temporary, reason: errnoText(errno)) }
        var failure: CInt = 0
        // The umask must not make the certificate unreadable, nor the key anything but private.
        if fchmod(descriptor, mode) != 0 { failure = errno }
        var bytes = Array(text.utf8)[...]
        while failure == 0, !bytes.isEmpty {
            let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written >= 0 { bytes = bytes.dropFirst(written) } else if errno != EINTR { failure = errno }
        }
        if failure == 0, fsync(descriptor) != 0 { failure = errno }
        if Glibc.close(descriptor) != 0, failure == 0 { failure = errno }
        // link fails where rename would silently replace what is there.
        if failure == 0, unsafe (overwrite ? rename(temporary, file) : link(temporary, file)) != 0 { failure = errno }
        if failure != 0 || !overwrite { unsafe unlink(temporary) }
        guard failure == 0 else { throw .file(file, reason: errnoText(failure)) }
    }
}
