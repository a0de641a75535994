import CSASL
import Glibc

/// The C side of ``SASLClient``: the connection, its callbacks and the secret they hand out, which is wiped at the end.
@safe final class SASLClientHandle {
    /// What the callbacks reach by their context pointer; the library may call them as long as the connection lives.
    @safe fileprivate final class Answers {
        let username: UnsafeMutablePointer<CChar>?
        let authorizationID: UnsafeMutablePointer<CChar>?
        let secret: UnsafeMutablePointer<sasl_secret_t>?

        init(_ credentials: SASLClient.Credentials, sendAuthorizationID: Bool) {
            unsafe username = unsafe strdup(credentials.username)
            unsafe authorizationID = unsafe strdup(sendAuthorizationID ? credentials.username : "")
            var password = Array(credentials.password.utf8)
            unsafe secret = unsafe password.withUnsafeBytes {
                unsafe postern_sasl_secret($0.baseAddress ?? UnsafeRawPointer(bitPattern: 1), $0.count)
            }
            wipe(&password)
        }

        deinit {
            unsafe free(username)
            unsafe free(authorizationID)
            unsafe postern_sasl_secret_free(secret)
        }
    }

    private let answers: Answers
    private let callbacks: UnsafeMutablePointer<sasl_callback_t>
    private var connection: OpaquePointer?
    /// The status of the one `sasl_client_init` of this process.
    private static let initialized: CInt = sasl_client_init(nil)

    /// Loads the library's mechanisms, once.
    static func load() throws(SASLClient.Failure) {
        let status = CyrusLock.hold { initialized }
        guard status == SASL_OK else { throw SASLClient.Failure(CyrusServer.errorText(status)) }
    }

    init(
        service: String,
        host: String,
        credentials: SASLClient.Credentials,
        options: SASLSecurityOptions,
        sendAuthorizationID: Bool
    ) throws(SASLClient.Failure) {
        answers = Answers(credentials, sendAuthorizationID: sendAuthorizationID)
        let context = unsafe Unmanaged.passUnretained(answers).toOpaque()
        unsafe callbacks = UnsafeMutablePointer<sasl_callback_t>.allocate(capacity: 5)
        unsafe (callbacks + 0).initialize(to: postern_sasl_getsimple_callback(UInt(SASL_CB_USER), simpleAnswer, context))
        unsafe (callbacks + 1).initialize(to: postern_sasl_getsimple_callback(UInt(SASL_CB_AUTHNAME), simpleAnswer, context))
        unsafe (callbacks + 2).initialize(to: postern_sasl_getsecret_callback(secretAnswer, context))
        unsafe (callbacks + 3).initialize(to: postern_sasl_getrealm_callback(realmAnswer, context))
        unsafe (callbacks + 4).initialize(to: postern_sasl_callback_end())
        let status = CyrusLock.hold { () -> CInt in
            guard Self.initialized == SASL_OK else { return Self.initialized }
            let status = unsafe sasl_client_new(service, host, nil, nil, callbacks, 0, &connection)
            guard status == SASL_OK else { return status }
            var properties = unsafe sasl_security_properties_t()
            unsafe properties.security_flags = options.cyrusFlags
            return unsafe sasl_setprop(connection, SASL_SEC_PROPS, &properties)
        }
        guard status == SASL_OK else { throw SASLClient.Failure(CyrusServer.errorText(status)) }
    }

    deinit {
        CyrusLock.hold { unsafe sasl_dispose(&connection) }
        unsafe callbacks.deallocate()
    }

    func start(_ list: String) throws(SASLClient.Failure) -> (mechanism: String, initialResponse: String?) {
        try CyrusLock.hold { () throws(SASLClient.Failure) -> (String, String?) in
            var out: UnsafePointer<CChar>?
            var length: UInt32 = 0
            var mechanism: UnsafePointer<CChar>?
            let status = unsafe sasl_client_start(connection, list, nil, &out, &length, &mechanism)
            guard status == SASL_OK || status == SASL_CONTINUE, let mechanism = unsafe mechanism else { throw failure(status) }
            let response = unsafe out == nil ? nil : encodeBase64(out, length)
            // An empty response that exists is not the same as none, but SMTP has no way to say so that Postfix understands.
            return (unsafe String(cString: mechanism), response?.isEmpty == true ? nil : response)
        }
    }

    func step(_ challenge: String) throws(SASLClient.Failure) -> String {
        try CyrusLock.hold { () throws(SASLClient.Failure) -> String in
            var input = Array(challenge.utf8)
            var clear = [UInt8](repeating: 0, count: input.count + 1)
            defer { wipe(&clear) }
            var clearLength: UInt32 = 0
            let decoded = unsafe input.withUnsafeMutableBufferPointer { input in
                unsafe clear.withUnsafeMutableBufferPointer { output in
                    unsafe input.withMemoryRebound(to: CChar.self) { input in
                        unsafe output.withMemoryRebound(to: CChar.self) { output in
                            unsafe sasl_decode64(
                                input.baseAddress ?? output.baseAddress,
                                UInt32(input.count),
                                output.baseAddress,
                                UInt32(output.count),
                                &clearLength
                            )
                        }
                    }
                }
            }
            guard decoded == SASL_OK else { throw failure(decoded) }
            var out: UnsafePointer<CChar>?
            var length: UInt32 = 0
            let status = unsafe clear.withUnsafeBufferPointer { bytes in
                unsafe bytes.withMemoryRebound(to: CChar.self) {
                    unsafe sasl_client_step(connection, $0.baseAddress, clearLength, nil, &out, &length)
                }
            }
            guard status == SASL_OK || status == SASL_CONTINUE else { throw failure(status) }
            return unsafe encodeBase64(out, length)
        }
    }

    private func failure(_ status: CInt) -> SASLClient.Failure { SASLClient.Failure(CyrusServer.errorText(status)) }
}

private let simpleAnswer:
    @convention(c) (UnsafeMutableRawPointer?, CInt, UnsafeMutablePointer<UnsafePointer<CChar>?>?, UnsafeMutablePointer<UInt32>?) -> CInt = {
        context,
        id,
        result,
        length in
        guard let context = unsafe context, let result = unsafe result else { return SASL_BADPARAM }
        let answers = unsafe Unmanaged<SASLClientHandle.Answers>.fromOpaque(context).takeUnretainedValue()
        let text = unsafe id == CInt(SASL_CB_AUTHNAME) ? answers.username : answers.authorizationID
        guard let text = unsafe text else { return SASL_NOMEM }
        unsafe result.pointee = unsafe UnsafePointer(text)
        unsafe length?.pointee = unsafe UInt32(strlen(text))
        return SASL_OK
    }

private let secretAnswer:
    @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?, CInt, UnsafeMutablePointer<UnsafeMutablePointer<sasl_secret_t>?>?) -> CInt = {
        _,
        context,
        _,
        result in
        guard let context = unsafe context, let result = unsafe result else { return SASL_BADPARAM }
        let answers = unsafe Unmanaged<SASLClientHandle.Answers>.fromOpaque(context).takeUnretainedValue()
        guard let secret = unsafe answers.secret else { return SASL_NOMEM }
        unsafe result.pointee = unsafe secret
        return SASL_OK
    }

/// DIGEST-MD5 with several realms on offer: the first.
private let realmAnswer:
    @convention(c) (
        UnsafeMutableRawPointer?, CInt, UnsafeMutablePointer<UnsafePointer<CChar>?>?, UnsafeMutablePointer<UnsafePointer<CChar>?>?
    ) -> CInt = { _, _, available, result in
        guard let result = unsafe result, let first = unsafe available?.pointee else { return SASL_FAIL }
        unsafe result.pointee = unsafe first
        return SASL_OK
    }
