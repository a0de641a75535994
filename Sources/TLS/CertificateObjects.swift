import COpenSSL

/// A parsed certificate (OpenSSL's `X509`).
@safe
final class Certificate {
    let pointer: OpaquePointer

    /// Takes over the reference.
    init(owning pointer: OpaquePointer) { unsafe self.pointer = unsafe pointer }

    deinit { unsafe X509_free(pointer) }

    /// nil if the block is not a certificate the library can read; the reason is in the error queue.
    convenience init?(_ block: PEMBlock) {
        LibraryErrors.clear()
        guard let pointer = unsafe withMemoryBIO(block.bytes, { unsafe postern_read_certificate($0) }) else { return nil }
        unsafe self.init(owning: pointer)
    }

    var subject: String { unsafe nameText(X509_get_subject_name(pointer)) }
    var issuer: String { unsafe nameText(X509_get_issuer_name(pointer)) }
    var subjectCommonName: String { unsafe attribute(NID_commonName, of: X509_get_subject_name(pointer)) ?? "" }
    /// The issuer's common name, else its organisation: what Postfix prints as Issuer.
    var issuerCommonName: String {
        unsafe attribute(NID_commonName, of: X509_get_issuer_name(pointer))
            ?? attribute(NID_organizationName, of: X509_get_issuer_name(pointer)) ?? ""
    }
    /// Seconds since 1970.
    var notBefore: Int { unsafe Int(postern_time(X509_get0_notBefore(pointer))) }
    var notAfter: Int { unsafe Int(postern_time(X509_get0_notAfter(pointer))) }
    var isExpired: Bool { unsafe X509_cmp_current_time(X509_get0_notAfter(pointer)) < 0 }
    var isNotYetValid: Bool { unsafe X509_cmp_current_time(X509_get0_notBefore(pointer)) > 0 }

    /// `RSA`, `EC`, `ED25519`, ...
    var keyType: String {
        guard let key = unsafe X509_get0_pubkey(pointer), let name = unsafe EVP_PKEY_get0_type_name(key) else { return "unknown" }
        return unsafe String(cString: name)
    }

    /// The DNS names and IP addresses of subjectAltName.
    var names: [String] {
        guard let all = unsafe postern_subject_alt_names(pointer) else { return [] }
        defer { unsafe postern_names_free(all) }
        return unsafe (0..<postern_names_count(all)).compactMap { index in
            var bytes: UnsafePointer<UInt8>?
            var length: CInt = 0
            let kind = unsafe postern_name_at(all, index, &bytes, &length)
            guard kind != 0, let bytes = unsafe bytes, length >= 0 else { return nil }
            let value = unsafe Array(UnsafeBufferPointer(start: bytes, count: Int(length)))
            return kind == 1 ? String(decoding: value, as: UTF8.self) : addressText(value)
        }
    }

    func matches(_ key: PrivateKey) -> Bool {
        defer { LibraryErrors.clear() }
        return unsafe X509_check_private_key(pointer, key.pointer) == 1
    }

    func isIssued(by issuer: Certificate) -> Bool {
        unsafe X509_check_issued(issuer.pointer, pointer) == X509_V_OK
    }

    /// RFC 6125 matching as OpenSSL does it: DNS names of subjectAltName, the common name only if there are none.
    func matches(hostName: String, multipleLabelWildcards: Bool) -> Bool {
        let flags = multipleLabelWildcards ? UInt32(X509_CHECK_FLAG_MULTI_LABEL_WILDCARDS) : 0
        return unsafe X509_check_host(pointer, hostName, hostName.utf8.count, flags, nil) == 1
    }
}

/// A private key (OpenSSL's `EVP_PKEY`).
@safe
final class PrivateKey {
    let pointer: OpaquePointer

    init(owning pointer: OpaquePointer) { unsafe self.pointer = unsafe pointer }

    deinit { unsafe EVP_PKEY_free(pointer) }

    /// nil if the block is not a key the library can read without a passphrase; nobody is ever asked for one.
    convenience init?(_ block: PEMBlock) {
        LibraryErrors.clear()
        guard let pointer = unsafe withMemoryBIO(block.bytes, { unsafe postern_read_private_key($0) }) else { return nil }
        unsafe self.init(owning: pointer)
    }
}

/// Runs `body` with a library stream that reads from `bytes`.
func withMemoryBIO<Result>(_ bytes: [UInt8], _ body: (OpaquePointer) -> Result?) -> Result? {
    unsafe bytes.withUnsafeBytes { buffer in
        guard let bio = unsafe BIO_new_mem_buf(buffer.baseAddress, CInt(clamping: buffer.count)) else { return nil }
        defer { unsafe BIO_free(bio) }
        return unsafe body(bio)
    }
}

private func nameText(_ name: OpaquePointer?) -> String {
    guard let bio = unsafe BIO_new(BIO_s_mem()) else { return "" }
    defer { unsafe BIO_free(bio) }
    guard unsafe postern_print_name(bio, name) >= 0 else { return "" }
    return unsafe bioText(bio)
}

private func attribute(_ nid: CInt, of name: OpaquePointer?) -> String? {
    let index = unsafe X509_NAME_get_index_by_NID(name, nid, -1)
    guard index >= 0, let value = unsafe X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)) else { return nil }
    var bytes: UnsafeMutablePointer<UInt8>?
    let length = unsafe ASN1_STRING_to_UTF8(&bytes, value)
    guard length >= 0, let bytes = unsafe bytes else { return nil }
    defer { unsafe CRYPTO_free(bytes, "", 0) }
    return unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: Int(length)), as: UTF8.self)
}

/// What has been written to a memory stream.
func bioText(_ bio: OpaquePointer) -> String {
    var data: UnsafeMutablePointer<CChar>?
    let length = unsafe postern_BIO_get_mem_data(bio, &data)
    guard length > 0, let data = unsafe data else { return "" }
    return unsafe String(decoding: UnsafeRawBufferPointer(start: data, count: length), as: UTF8.self)
}

private func addressText(_ bytes: [UInt8]) -> String? {
    switch bytes.count {
    case 4: return bytes.map(String.init).joined(separator: ".")
    case 16:
        return stride(from: 0, to: 16, by: 2).map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }
            .joined(separator: ":")
    default: return nil
    }
}
