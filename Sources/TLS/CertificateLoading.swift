import COpenSSL

// Certificates, keys and trust, read from their files into the context.
extension ContextBuilder {
    /// `*_tls_cert_file` and `*_tls_key_file`.
    func load(_ pair: TLSKeyPair, certificateSetting: TLSSetting, keySetting: TLSSetting) {
        let certificateBlocks = blocks(pair.certificateFile, certificateSetting)
        let keyBlocks = pair.keyFile == pair.certificateFile ? certificateBlocks : blocks(pair.keyFile, keySetting)
        guard let certificateBlocks, let keyBlocks else { return }
        let chain = certificates(in: certificateBlocks, file: pair.certificateFile, certificateSetting)
        let key = privateKey(in: keyBlocks, file: pair.keyFile, keySetting)
        if let chain, let key {
            use(key, chain: chain, keyFile: pair.keyFile, certificateFile: pair.certificateFile, keySetting)
        }
    }

    /// `*_tls_chain_files`: all files count as one; each key stands immediately before its certificate and chain.
    func load(chainFiles: [String]) {
        var pending: (key: PrivateKey, file: String)?
        var chain: (certificates: [Certificate], file: String)?
        func complete() {
            guard let key = pending, let chain else { return }
            use(key.key, chain: chain.certificates, keyFile: key.file, certificateFile: chain.file, .chainFiles)
        }
        for file in chainFiles {
            guard let blocks = blocks(file, .chainFiles) else { return }
            for block in blocks {
                if block.isPrivateKey {
                    guard pending == nil || chain != nil else {
                        return fail(.chainFiles, file: file, "\(file): a private key without a certificate after it")
                    }
                    complete()
                    guard let key = privateKey(in: [block], file: file, .chainFiles) else { return }
                    (pending, chain) = ((key, file), nil)
                } else if block.isCertificate {
                    guard pending != nil else {
                        return fail(.chainFiles, file: file, "\(file): a certificate without its private key before it")
                    }
                    guard let certificate = certificates(in: [block], file: file, .chainFiles)?.first else { return }
                    chain = ((chain?.certificates ?? []) + [certificate], chain?.file ?? file)
                }
            }
        }
        guard let last = pending else {
            return fail(.chainFiles, "\(chainFiles.joined(separator: ", ")): no private key in PEM form")
        }
        guard chain != nil else {
            return fail(.chainFiles, file: last.file, "\(last.file): a private key without a certificate after it")
        }
        complete()
    }

    private func blocks(_ file: String, _ setting: TLSSetting) -> [PEMBlock]? {
        let content: [UInt8]
        do { content = try readSmallFile(file) } catch {
            fail(setting, file: file, "cannot read \(file): \(error.reason)")
            return nil
        }
        guard let blocks = PEMBlock.parse(content) else {
            fail(setting, file: file, "\(file): a PEM block has a BEGIN line but no END line")
            return nil
        }
        if blocks.isEmpty {
            let hint = content.first == 0x30 ? " (it looks like DER; convert it with openssl)" : ""
            fail(setting, file: file, "\(file) is not in PEM form\(hint)")
            return nil
        }
        return blocks
    }

    private func certificates(in blocks: [PEMBlock], file: String, _ setting: TLSSetting) -> [Certificate]? {
        var result: [Certificate] = []
        for block in blocks where block.isCertificate {
            guard let certificate = Certificate(block) else {
                let reason = LibraryErrors.take().first.map(LibraryErrors.reason) ?? "unknown error"
                fail(setting, file: file, "\(file): certificate \(result.count + 1) cannot be read: \(reason)")
                return nil
            }
            result.append(certificate)
        }
        if result.isEmpty {
            fail(setting, file: file, "\(file) holds no certificate")
            return nil
        }
        return result
    }

    private func privateKey(in blocks: [PEMBlock], file: String, _ setting: TLSSetting) -> PrivateKey? {
        guard let block = blocks.first(where: \.isPrivateKey) else {
            fail(setting, file: file, "\(file) holds no private key")
            return nil
        }
        if block.isEncrypted {
            fail(
                setting,
                file: file,
                "the private key in \(file) is protected by a passphrase; a server cannot ask for it, store the key without"
            )
            return nil
        }
        guard let key = PrivateKey(block) else {
            let reason = LibraryErrors.take().first.map(LibraryErrors.reason) ?? "unknown error"
            fail(setting, file: file, "the private key in \(file) cannot be read: \(reason)")
            return nil
        }
        return key
    }

    private func use(_ key: PrivateKey, chain: [Certificate], keyFile: String, certificateFile: String, _ keySetting: TLSSetting) {
        let leaf = chain[0]
        guard leaf.matches(key) else {
            return fail(
                keySetting,
                file: keyFile,
                keyFile == certificateFile
                    ? "the private key in \(keyFile) does not belong to the certificate in the same file"
                    : "the private key in \(keyFile) does not belong to the certificate in \(certificateFile)"
            )
        }
        if certificates.contains(where: { $0.keyType == leaf.keyType }) {
            return fail(
                keySetting,
                file: certificateFile,
                "\(certificateFile): a second \(leaf.keyType) certificate; only one of each kind can be used"
            )
        }
        LibraryErrors.clear()
        guard unsafe SSL_CTX_use_certificate(pointer, leaf.pointer) == 1, unsafe SSL_CTX_use_PrivateKey(pointer, key.pointer) == 1 else {
            let reason = LibraryErrors.take().first.map(LibraryErrors.reason) ?? "unknown error"
            return fail(keySetting, file: certificateFile, "OpenSSL refuses the certificate in \(certificateFile): \(reason)")
        }
        for certificate in chain.dropFirst() {
            unsafe X509_up_ref(certificate.pointer)
            if unsafe postern_SSL_CTX_add0_chain_cert(pointer, certificate.pointer) != 1 { unsafe X509_free(certificate.pointer) }
        }
        certificates.append(TLSCertificateSummary(leaf, file: certificateFile))
        warnAboutChain(chain, file: certificateFile, keySetting == .ecKeyFile ? .ecCertificateFile : keySetting)
    }

    private func warnAboutChain(_ chain: [Certificate], file: String, _ setting: TLSSetting) {
        let setting = setting == .keyFile ? TLSSetting.certificateFile : setting
        for (index, certificate) in chain.enumerated() {
            let which = index == 0 ? "the certificate in \(file)" : "chain certificate \(index) in \(file)"
            if certificate.isExpired { warn(setting, file: file, "\(which) has expired") }
            if certificate.isNotYetValid { warn(setting, file: file, "\(which) is not valid yet") }
            if index > 0, !chain[index - 1].isIssued(by: certificate) {
                warn(setting, file: file, "\(which) is not the issuer of the one before it")
            }
        }
    }
}

// MARK: Trust

extension ContextBuilder {
    /// Loads everything now: a directory that the library would search later is out of reach after chroot.
    func load(_ authorities: TLSAuthorities, announceToClients: Bool) {
        if !authorities.file.isEmpty, let blocks = blocks(authorities.file, .caFile),
            let trusted = certificates(in: blocks, file: authorities.file, .caFile)
        {
            for certificate in trusted {
                trust(certificate)
                if announceToClients { unsafe SSL_CTX_add_client_CA(pointer, certificate.pointer) }
            }
        }
        if !authorities.directory.isEmpty { trust(directory: authorities.directory) }
        if authorities.appendDefault {
            if let blocks = (try? readSmallFile(unsafe String(cString: postern_default_ca_file()))).flatMap(PEMBlock.parse) {
                for block in blocks where block.isCertificate { Certificate(block).map(trust) }
            }
            trust(directory: unsafe String(cString: postern_default_ca_directory()))
        }
        LibraryErrors.clear()
    }

    private func trust(_ certificate: Certificate) {
        unsafe X509_STORE_add_cert(SSL_CTX_get_cert_store(pointer), certificate.pointer)
    }

    /// Takes the files that the library would find: hashed names such as `5ed36f99.0`.
    private func trust(directory: String) {
        let names: [String]
        do { names = try directoryEntries(directory).filter(Self.isHashedName) } catch {
            return warn(.caPath, file: directory, "cannot read the CA directory \(directory): \(error.reason)")
        }
        var unreadable = 0
        for name in names {
            guard let blocks = (try? readSmallFile("\(directory)/\(name)")).flatMap(PEMBlock.parse),
                let certificate = blocks.first(where: \.isCertificate).flatMap({ Certificate($0) })
            else {
                unreadable += 1
                continue
            }
            trust(certificate)
        }
        if names.isEmpty { warn(.caPath, file: directory, "\(directory) holds no certificate with a hashed name (see openssl rehash)") }
        if unreadable > 0 { warn(.caPath, file: directory, "\(unreadable) of \(names.count) certificates in \(directory) cannot be read") }
    }

    static func isHashedName(_ name: String) -> Bool {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 2 && parts[0].utf8.count == 8 && parts[0].allSatisfy(\.isHexDigit)
            && !parts[1].isEmpty && parts[1].utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
}
