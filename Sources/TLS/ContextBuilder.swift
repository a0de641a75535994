import COpenSSL

/// Builds one `SSL_CTX`, collecting every problem on the way instead of stopping at the first.
@safe
final class ContextBuilder {
    let pointer: OpaquePointer
    var problems: [TLSProblem] = []
    var warnings: [TLSProblem] = []
    var certificates: [TLSCertificateSummary] = []

    init(isServer: Bool) throws(TLSConfigurationError) {
        LibraryErrors.clear()
        guard let pointer = unsafe SSL_CTX_new(isServer ? TLS_server_method() : TLS_client_method()) else {
            throw TLSConfigurationError([TLSProblem(.library, "OpenSSL cannot be set up: \(LibraryErrors.take().joined(separator: "; "))")])
        }
        unsafe self.pointer = unsafe pointer
        // Idle connections keep no 16 KiB record buffers.
        unsafe postern_SSL_CTX_set_mode(pointer, CLong(SSL_MODE_RELEASE_BUFFERS))
        // As Postfix: the parameters for protocols and ciphers decide, not the distribution's security level, which would silently refuse
        // what they allow.
        unsafe SSL_CTX_set_security_level(pointer, 0)
    }

    deinit { unsafe SSL_CTX_free(pointer) }

    func fail(_ setting: TLSSetting, file: String = "", _ text: String) { problems.append(TLSProblem(setting, file: file, text)) }
    func warn(_ setting: TLSSetting, file: String = "", _ text: String) { warnings.append(TLSProblem(setting, file: file, text)) }

    func finish(asksClientCertificate: Bool) throws(TLSConfigurationError) -> TLSContext {
        guard problems.isEmpty else { throw TLSConfigurationError(problems) }
        unsafe SSL_CTX_up_ref(pointer)
        return unsafe TLSContext(
            owning: pointer,
            certificates: certificates,
            warnings: warnings,
            asksClientCertificate: asksClientCertificate
        )
    }
}

// MARK: What may be negotiated

extension ContextBuilder {
    func apply(_ policy: TLSPolicy) {
        applyOptions(policy)
        applyProtocols(policy.protocols)
        LibraryErrors.clear()
        if unsafe SSL_CTX_set_cipher_list(pointer, policy.cipherList) != 1 {
            let reason = LibraryErrors.take().first.map(LibraryErrors.reason) ?? "no cipher match"
            fail(.ciphers, "bad cipher list \"\(policy.cipherList)\": \(reason)")
        }
        applyCurves(policy.curves)
    }

    private func applyOptions(_ policy: TLSPolicy) {
        let options = TLSOptionNames.mask(policy.options, names: TLSOptionNames.options)
        let disabled = TLSOptionNames.mask(policy.disabledWorkarounds, names: TLSOptionNames.workarounds)
        for name in options.unknown { warn(.options, "unknown tls_ssl_options value \"\(name)\" in \"\(policy.options)\"") }
        for name in disabled.unknown {
            warn(.disabledWorkarounds, "unknown tls_disable_workarounds value \"\(name)\" in \"\(policy.disabledWorkarounds)\"")
        }
        let always = postern_op_no_renegotiation | postern_op_no_compression
        unsafe SSL_CTX_clear_options(pointer, postern_op_all & disabled.mask)
        unsafe SSL_CTX_set_options(
            pointer,
            (postern_op_all & ~disabled.mask) | always | (options.mask & ~TLSOptionNames.ownedElsewhere)
        )
    }

    private func applyProtocols(_ text: String) {
        let range: TLSProtocolRange
        do { range = try TLSProtocolRange(text) } catch {
            fail(.protocols, "invalid TLS protocol list \"\(text)\": \(error.element) is not a TLS version")
            return
        }
        guard !range.allowed.isEmpty || range.maximum > TLSProtocolRange.Version.tlsv13.rawValue else {
            fail(.protocols, "TLS protocol list \"\(text)\" leaves no TLS version")
            return
        }
        if unsafe postern_SSL_CTX_set_min_proto_version(pointer, CInt(clamping: range.minimum)) != 1 {
            fail(.protocols, "TLS protocol list \"\(text)\": OpenSSL does not know the lowest version")
        }
        if unsafe postern_SSL_CTX_set_max_proto_version(pointer, CInt(clamping: range.maximum)) != 1 {
            fail(.protocols, "TLS protocol list \"\(text)\": OpenSSL does not know the highest version")
        }
        unsafe SSL_CTX_set_options(pointer, range.excluded.reduce(0) { $0 | $1.exclusionOption })
    }

    private func applyCurves(_ names: [String]) {
        var known: [CInt] = []
        for name in names {
            var nid = unsafe [OBJ_sn2nid(name), OBJ_ln2nid(name), EC_curve_nist2nid(name)].first { $0 != NID_undef } ?? NID_undef
            // One by one, because one group that TLS has no number for would spoil the whole list.
            if nid != NID_undef, unsafe postern_SSL_CTX_set1_groups(pointer, &nid, 1) == 1 {
                known.append(nid)
            } else {
                warn(.curves, "ignoring unknown ECDHE curve \"\(name)\"")
            }
        }
        if !known.isEmpty, unsafe postern_SSL_CTX_set1_groups(pointer, &known, CInt(known.count)) != 1 {
            fail(.curves, "OpenSSL refuses the curves \(names.joined(separator: " "))")
        }
        LibraryErrors.clear()
    }

    /// `smtpd_tls_dh1024_param_file`. As in Postfix, a file that cannot be used leaves the library's own parameters, with a warning.
    func applyDHParameters(file: String) {
        unsafe postern_SSL_CTX_set_dh_auto(pointer, 1)
        guard !file.isEmpty, file != "auto" else { return }
        let content: [UInt8]
        do { content = try readSmallFile(file) } catch {
            warn(.dhParameters, file: file, "cannot read DH parameter file \(file): \(error.reason); using the library's own")
            return
        }
        guard let key = unsafe withMemoryBIO(content, { unsafe postern_read_parameters($0) }) else {
            warn(.dhParameters, file: file, "\(file) holds no DH parameters in PEM form; using the library's own")
            LibraryErrors.clear()
            return
        }
        if unsafe SSL_CTX_set0_tmp_dh_pkey(pointer, key) == 1 {
            unsafe postern_SSL_CTX_set_dh_auto(pointer, 0)
        } else {
            unsafe EVP_PKEY_free(key)
            warn(.dhParameters, file: file, "OpenSSL refuses the DH parameters in \(file); using the library's own")
            LibraryErrors.clear()
        }
    }
}

extension TLSProtocolRange.Version {
    var exclusionOption: UInt64 {
        switch self {
        case .sslv3: postern_op_no_sslv3
        case .tlsv1: postern_op_no_tlsv1
        case .tlsv11: postern_op_no_tlsv1_1
        case .tlsv12: postern_op_no_tlsv1_2
        case .tlsv13: postern_op_no_tlsv1_3
        }
    }
}

// MARK: Sessions and client certificates

extension ContextBuilder {
    func applyServerSessions(_ configuration: TLSServerConfiguration) {
        if configuration.preemptCipherList { unsafe SSL_CTX_set_options(pointer, postern_op_cipher_server_preference) }
        // Session ids are issued but no session is stored: resumption is by ticket only, so nothing grows with the number of clients.
        unsafe postern_SSL_CTX_set_session_cache_mode(
            pointer,
            CLong(SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR)
        )
        let context = Array(configuration.sessionIDContext.utf8.prefix(Int(SSL_MAX_SID_CTX_LENGTH)))
        unsafe SSL_CTX_set_session_id_context(pointer, context, UInt32(context.count))
        if configuration.tickets.enabled {
            // One for each handshake, valid for twice the configured time, as from Postfix.
            unsafe SSL_CTX_set_num_tickets(pointer, 1)
            shareTicketKeys()
            unsafe SSL_CTX_set_timeout(pointer, min(max(configuration.tickets.lifetime, 1), 7 * 86400 / 2) * 2)
        } else {
            unsafe SSL_CTX_set_options(pointer, postern_op_no_ticket)
            unsafe SSL_CTX_set_num_tickets(pointer, 0)
        }
        if configuration.askClientCertificate { unsafe postern_SSL_CTX_ask_peer_certificate(pointer) }
    }
}
