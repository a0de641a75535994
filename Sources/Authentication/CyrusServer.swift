import CSASL
import Glibc

/// libsasl2's server side for the life of a process.
enum CyrusServer {
    /// Never freed: the library keeps pointers to it until the process ends.
    private nonisolated(unsafe) static let context = CyrusContext()
    private nonisolated(unsafe) static var callbacks: UnsafeMutablePointer<sasl_callback_t>?

    private nonisolated(unsafe) static var prepared: [AuthMechanism] = []
    private nonisolated(unsafe) static var isInitialized = false

    /// What the last ``prepare(_:)`` found.
    static var preparedMechanisms: [AuthMechanism] { CyrusLock.hold { unsafe prepared } }

    /// `sasl_server_init` and a first look at the mechanisms. Returns them with flags.
    static func prepare(_ profile: CyrusProfile) throws(SASLConfigurationError) -> [AuthMechanism] {
        try CyrusLock.hold { () throws(SASLConfigurationError) -> [AuthMechanism] in
            unsafe context.configurationPath = profile.searchPath.joined(separator: ":")
            unsafe context.chrootDirectory = profile.chrootDirectory
            unsafe context.settings = profile.configurationFile()?.settings ?? [:]
            if unsafe callbacks == nil {
                let opaque = unsafe Unmanaged.passUnretained(context).toOpaque()
                let array = UnsafeMutablePointer<sasl_callback_t>.allocate(capacity: 4)
                unsafe (array + 0).initialize(to: postern_sasl_log_callback(cyrusLogCallback, opaque))
                unsafe (array + 1).initialize(to: postern_sasl_getopt_callback(cyrusGetoptCallback, opaque))
                unsafe (array + 2).initialize(to: postern_sasl_getconfpath_callback(cyrusConfigurationPathCallback, opaque))
                unsafe (array + 3).initialize(to: postern_sasl_callback_end())
                unsafe callbacks = unsafe array
            }
            // The library counts, and would keep the first configuration.
            if unsafe isInitialized { _ = sasl_server_done() }
            let status = unsafe sasl_server_init(callbacks, profile.application)
            unsafe isInitialized = status == SASL_OK
            guard status == SASL_OK else {
                let words = unsafe context.takeLog().joined(separator: "; ")
                throw SASLConfigurationError("SASL library initialization: \(errorText(status))\(words.isEmpty ? "" : " (\(words))")")
            }
            let mechanisms = mechanisms(profile)
            _ = unsafe context.takeLog()
            if mechanisms.isEmpty {
                let file = profile.configurationFile()
                let list = file?.settings["mech_list"].map { "; \(file?.path ?? "") says mech_list: \($0)" } ?? ""
                throw SASLConfigurationError("no SASL authentication mechanisms\(list) (is the package libsasl2-modules installed?)")
            }
            unsafe prepared = mechanisms
            return mechanisms
        }
    }

    /// Undoes ``prepare(_:)``, so that a test can prepare again. No connection may be left.
    static func shutdown() {
        CyrusLock.hold {
            if unsafe isInitialized { _ = sasl_server_done() }
            unsafe isInitialized = false
        }
    }

    static func takeLog() -> [String] { unsafe context.takeLog() }

    /// libsasl2's order, each with what it loses or keeps when a security option is set: the library has no call that tells.
    private static func mechanisms(_ profile: CyrusProfile) -> [AuthMechanism] {
        func list(_ options: SASLSecurityOptions) -> [String] {
            let connection = try? CyrusServerConnection(
                service: profile.service,
                serverName: profile.serverName,
                realm: profile.localDomain,
                options: options
            )
            return connection?.mechanisms() ?? []
        }
        var all = list([]).map { AuthMechanism(name: $0, flags: []) }
        let lost: [(SASLSecurityOptions, AuthMechanism.Flags)] = [
            (.noplaintext, .plaintext), (.noactive, .active), (.nodictionary, .dictionary), (.noanonymous, .anonymous),
        ]
        let kept: [(SASLSecurityOptions, AuthMechanism.Flags)] = [(.forwardSecrecy, .forwardSecrecy), (.mutualAuth, .mutualAuth)]
        for (option, flag) in lost {
            let names = list(option)
            for index in all.indices where !names.contains(all[index].name) { all[index].flags.insert(flag) }
        }
        for (option, flag) in kept {
            let names = list(option)
            for index in all.indices where names.contains(all[index].name) { all[index].flags.insert(flag) }
        }
        return all
    }

    static func errorText(_ status: CInt) -> String {
        unsafe sasl_errstring(status, nil, nil).map { unsafe String(cString: $0) } ?? "error \(status)"
    }
}

/// One AUTH exchange in the library. All calls under ``CyrusLock``.
@safe final class CyrusServerConnection {
    enum Step {
        /// Base64.
        case challenge(String)
        case success(username: String)
        case failure(status: CInt, username: String?)
    }

    struct Failure: Error {
        var status: CInt
    }

    private var connection: OpaquePointer?

    init(service: String, serverName: String, realm: String, options: SASLSecurityOptions) throws(Failure) {
        var created: OpaquePointer?
        let status =
            realm.isEmpty
            ? unsafe sasl_server_new(service, serverName, nil, nil, nil, nil, 0, &created)
            : unsafe sasl_server_new(service, serverName, realm, nil, nil, nil, 0, &created)
        guard status == SASL_OK, let created = unsafe created else { throw Failure(status: status) }
        unsafe connection = unsafe created
        // No security layer: TLS is SMTP's way, and Postfix asks for none either.
        var properties = unsafe sasl_security_properties_t()
        unsafe properties.security_flags = options.cyrusFlags
        let set = unsafe sasl_setprop(created, SASL_SEC_PROPS, &properties)
        guard set == SASL_OK else {
            unsafe sasl_dispose(&connection)
            throw Failure(status: set)
        }
    }

    deinit { unsafe sasl_dispose(&connection) }

    /// Upper case, in the library's order; empty when there is none.
    func mechanisms() -> [String] {
        var text: UnsafePointer<CChar>?
        guard unsafe sasl_listmech(connection, nil, "", " ", "", &text, nil, nil) == SASL_OK, let text = unsafe text else { return [] }
        return unsafe String(cString: text).split(separator: " ").map { $0.uppercased() }
    }

    func start(mechanism: String, response: SecretBytes?) -> Step {
        var out: UnsafePointer<CChar>?
        var outLength: UInt32 = 0
        guard let response else {
            let status = unsafe sasl_server_start(connection, mechanism, nil, 0, &out, &outLength)
            return unsafe result(status, out, outLength)
        }
        switch Self.decode(response) {
        case .failure(let failure): return .failure(status: failure.status, username: nil)
        case .success(var clear):
            defer { wipe(&clear) }
            let status = unsafe clear.withUnsafeBufferPointer { bytes in
                unsafe bytes.withMemoryRebound(to: CChar.self) {
                    unsafe sasl_server_start(connection, mechanism, $0.baseAddress, UInt32($0.count - 1), &out, &outLength)
                }
            }
            return unsafe result(status, out, outLength)
        }
    }

    func step(response: SecretBytes) -> Step {
        switch Self.decode(response) {
        case .failure(let failure): return .failure(status: failure.status, username: nil)
        case .success(var clear):
            defer { wipe(&clear) }
            var out: UnsafePointer<CChar>?
            var outLength: UInt32 = 0
            let status = unsafe clear.withUnsafeBufferPointer { bytes in
                unsafe bytes.withMemoryRebound(to: CChar.self) {
                    unsafe sasl_server_step(connection, $0.baseAddress, UInt32($0.count - 1), &out, &outLength)
                }
            }
            return unsafe result(status, out, outLength)
        }
    }

    /// `sasl_setpass`; no old password is asked for.
    func setPassword(name: String, password: SecretBytes, flags: UInt32) -> CInt {
        unsafe password.bytes.withUnsafeBytes { bytes in
            unsafe sasl_setpass(
                connection,
                name,
                bytes.isEmpty ? nil : bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
                UInt32(bytes.count),
                nil,
                0,
                flags
            )
        }
    }

    private func result(_ status: CInt, _ out: UnsafePointer<CChar>?, _ length: UInt32) -> Step {
        switch status {
        case SASL_OK: .success(username: username ?? "")
        case SASL_CONTINUE: .challenge(unsafe encodeBase64(out, length))
        // As in Postfix: whether a user exists is nobody's business.
        case SASL_NOUSER: .failure(status: SASL_BADAUTH, username: username)
        default: .failure(status: status, username: username)
        }
    }

    /// The name the library has settled on, if it got that far.
    private var username: String? {
        var value: UnsafeRawPointer?
        guard unsafe sasl_getprop(connection, SASL_USERNAME, &value) == SASL_OK, let value = unsafe value else { return nil }
        return unsafe String(cString: value.assumingMemoryBound(to: CChar.self))
    }

    /// `sasl_decode64` decides, because its error texts are what Postfix's clients read. The result ends with a NUL that is not counted.
    private static func decode(_ text: SecretBytes) -> Result<[UInt8], Failure> {
        var clear = [UInt8](repeating: 0, count: text.bytes.count + 1)
        var length: UInt32 = 0
        let status = unsafe text.bytes.withUnsafeBufferPointer { input in
            unsafe clear.withUnsafeMutableBufferPointer { output in
                unsafe input.withMemoryRebound(to: CChar.self) { input in
                    unsafe output.withMemoryRebound(to: CChar.self) { output in
                        unsafe sasl_decode64(
                            input.baseAddress ?? UnsafePointer(output.baseAddress),
                            UInt32(input.count),
                            output.baseAddress,
                            UInt32(output.count),
                            &length
                        )
                    }
                }
            }
        }
        guard status == SASL_OK else {
            wipe(&clear)
            return .failure(Failure(status: status))
        }
        clear[Int(length)] = 0
        clear.removeLast(clear.count - Int(length) - 1)
        return .success(clear)
    }
}

/// Base64 by the library; empty for nothing.
func encodeBase64(_ bytes: UnsafePointer<CChar>?, _ length: UInt32) -> String {
    guard let bytes = unsafe bytes, length > 0 else { return "" }
    var out = [UInt8](repeating: 0, count: (Int(length) + 2) / 3 * 4 + 1)
    var outLength: UInt32 = 0
    let status = unsafe out.withUnsafeMutableBufferPointer { output in
        unsafe output.withMemoryRebound(to: CChar.self) {
            unsafe sasl_encode64(bytes, length, $0.baseAddress, UInt32($0.count), &outLength)
        }
    }
    defer { wipe(&out) }
    return status == SASL_OK ? String(decoding: out[..<Int(outLength)], as: UTF8.self) : ""
}

extension SASLSecurityOptions {
    var cyrusFlags: UInt32 {
        let pairs: [(SASLSecurityOptions, CInt)] = [
            (.noplaintext, SASL_SEC_NOPLAINTEXT), (.noactive, SASL_SEC_NOACTIVE), (.nodictionary, SASL_SEC_NODICTIONARY),
            (.noanonymous, SASL_SEC_NOANONYMOUS), (.forwardSecrecy, SASL_SEC_FORWARD_SECRECY), (.mutualAuth, SASL_SEC_MUTUAL_AUTH),
        ]
        return pairs.reduce(0) { contains($1.0) ? $0 | UInt32($1.1) : $0 }
    }
}
