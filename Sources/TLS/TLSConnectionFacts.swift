import COpenSSL

// What the finished handshake agreed on, read from the library.
extension TLSConnection {
    var facts: TLSFacts {
        var facts = TLSFacts()
        facts.protocolVersion = unsafe text(SSL_get_version(pointer))
        if let cipher = unsafe SSL_get_current_cipher(pointer) {
            facts.cipher = unsafe text(SSL_CIPHER_get_name(cipher))
            var algorithmBits: CInt = 0
            facts.usedBits = unsafe Int(SSL_CIPHER_get_bits(cipher, &algorithmBits))
            facts.algorithmBits = Int(algorithmBits)
        }
        facts.isResumed = unsafe SSL_session_reused(pointer) == 1
        facts.serverNameIndication = unsafe text(SSL_get_servername(pointer, TLSEXT_NAMETYPE_host_name))
        let peer = unsafe SSL_get1_peer_certificate(pointer).map { unsafe Certificate(owning: $0) }
        if let peer { describe(peer, in: &facts) }
        // Postfix prints these for TLS 1.3 only: before, the cipher's name tells.
        if unsafe SSL_version(pointer) >= TLS1_3_VERSION { describeSignatures(peer, in: &facts) }
        LibraryErrors.clear()
        return facts
    }

    private func describe(_ peer: Certificate, in facts: inout TLSFacts) {
        facts.peerCertificatePresent = true
        facts.peerCertificateTrusted = unsafe SSL_get_verify_result(pointer) == CLong(X509_V_OK)
        facts.peerCommonName = peer.subjectCommonName
        facts.peerIssuerName = peer.issuerCommonName
        if let target {
            facts.peerMatchedName = target.matchNames.first {
                peer.matches(hostName: $0, multipleLabelWildcards: target.wildcardMatchesMultipleLabels)
            }
        }
    }

    private func describeSignatures(_ peer: Certificate?, in facts: inout TLSFacts) {
        if let key = unsafe postern_SSL_get1_peer_tmp_key(pointer) {
            facts.keyExchange = unsafe keyExchangeName(key)
            unsafe EVP_PKEY_free(key)
        }
        // After a resumption no side has signed: Postfix then prints the kind of key without a digest.
        let ours = unsafe SSL_get_certificate(pointer).map { certificate in
            unsafe signatureName(X509_get0_pubkey(certificate), digest: postern_SSL_get_signature_nid(pointer), isResumed: facts.isResumed)
        }
        let theirs = peer.map { certificate in
            unsafe signatureName(
                X509_get0_pubkey(certificate.pointer),
                digest: postern_SSL_get_peer_signature_nid(pointer),
                isResumed: facts.isResumed
            )
        }
        let (server, client) = target == nil ? (ours, theirs) : (theirs, ours)
        if let server { (facts.serverSignature, facts.serverDigest) = server }
        // Our own certificate as a client counts only if it was asked for, which the peer alone knows; Postfix's client prints it when used.
        if let client, target == nil || client.digest != "" { (facts.clientSignature, facts.clientDigest) = client }
    }

    private func signatureName(_ key: OpaquePointer?, digest: CInt, isResumed: Bool) -> (name: String, digest: String) {
        guard let key = unsafe key else { return ("", "") }
        let digestName = isResumed || digest == NID_undef ? "" : unsafe text(OBJ_nid2sn(digest))
        switch unsafe EVP_PKEY_get_base_id(key) {
        // With TLS 1.3 an RSA key signs by PSS only.
        case EVP_PKEY_RSA, EVP_PKEY_RSA_PSS: return (unsafe "RSA-PSS (\(EVP_PKEY_get_bits(key)) bits)", digestName)
        case EVP_PKEY_EC: return (unsafe "ECDSA (\(groupName(key)))", digestName)
        case let other: return (unsafe text(OBJ_nid2sn(other)), "")
        }
    }

    private func keyExchangeName(_ key: OpaquePointer) -> String {
        switch unsafe EVP_PKEY_get_base_id(key) {
        case EVP_PKEY_EC: return unsafe "ECDHE (\(groupName(key)))"
        case EVP_PKEY_DH, EVP_PKEY_DHX: return unsafe "DHE (\(EVP_PKEY_get_bits(key)) bits)"
        case let other: return unsafe text(OBJ_nid2sn(other))
        }
    }

    private func groupName(_ key: OpaquePointer) -> String {
        var name = [CChar](repeating: 0, count: 80)
        var length = 0
        guard unsafe EVP_PKEY_get_group_name(key, &name, name.count, &length) == 1 else { return "unknown" }
        return String(decoding: name.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func text(_ characters: UnsafePointer<CChar>?) -> String {
        guard let characters = unsafe characters else { return "" }
        return unsafe String(cString: characters)
    }
}
