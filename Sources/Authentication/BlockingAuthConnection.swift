import Glibc

/// A connection to Dovecot for `postern auth-test`: blocking, one request at a time.
final class BlockingAuthConnection {
    private(set) var mechanisms: [AuthMechanism] = []
    private let descriptor: CInt
    private var lines = AuthLineBuffer()

    /// Connects and shakes hands. The error says what is wrong with the socket.
    init(_ socket: DovecotSocket) throws(SASLClient.Failure) {
        descriptor = try Self.connect(socket)
        send(AuthClientMessage.version(major: AuthProtocol.majorVersion, minor: AuthProtocol.minorVersion).line)
        send(AuthClientMessage.processID(Int(currentProcessID())).line)
        while true {
            guard let message = receive() else { throw SASLClient.Failure("\(socket): no handshake of the Dovecot auth protocol") }
            switch message {
            case .mechanism(let mechanism): mechanisms.append(mechanism)
            case .done: return
            default: continue
            }
        }
    }

    deinit { _ = Glibc.close(descriptor) }

    func conversation(_ parameters: AuthParameters) -> any AuthConversation { Conversation(connection: self, parameters: parameters) }

    private final class Conversation: AuthConversation {
        private let connection: BlockingAuthConnection
        private let parameters: AuthParameters

        init(connection: BlockingAuthConnection, parameters: AuthParameters) {
            self.connection = connection
            self.parameters = parameters
        }

        func start(_ mechanism: String, _ response: SecretBytes?) -> AuthenticationStep {
            connection.send(AuthClientMessage.auth(id: 1, mechanism: mechanism, parameters, response: response).line)
            return answer()
        }

        func step(_ response: SecretBytes) -> AuthenticationStep {
            connection.send(AuthClientMessage.response(id: 1, data: response).line)
            return answer()
        }

        func takeLog() -> [String] { [] }

        private func answer() -> AuthenticationStep {
            while let message = connection.receive() {
                switch message {
                case .ok(1, let parameters): return .success(username: printableLogin(parameters["user"] ?? ""))
                case .challenge(1, let data, _): return .challenge(data)
                case .fail(1, let parameters): return BackEndConnection.failure(parameters)
                default: continue
                }
            }
            return .unavailable(reason: "Connection lost to authentication server", username: nil)
        }
    }

    private func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes[sent...].withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return }
            sent += count
        }
    }

    /// nil at the connection's end, after 30 seconds of silence, and for what is not this protocol.
    private func receive() -> AuthServerMessage? {
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            guard let line = try? lines.next() else {
                var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard unsafe poll(&wait, 1, 30_000) == 1 else { return nil }
                let count = unsafe read(descriptor, &chunk, chunk.count)
                guard count > 0 else { return nil }
                lines.append(chunk[..<count])
                continue
            }
            return AuthServerMessage(line: line)
        }
    }

    private static func connect(_ target: DovecotSocket) throws(SASLClient.Failure) -> CInt {
        switch target {
        case .unix(let path):
            let (descriptor, number) = connectUnixSocket(path)
            guard descriptor >= 0 else {
                throw SASLClient.Failure("Can't connect to authentication server at \(path): \(systemErrorText(number))")
            }
            return descriptor
        case .inet(let host, let port):
            var hints = unsafe addrinfo()
            unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
            var list: UnsafeMutablePointer<addrinfo>?
            guard unsafe getaddrinfo(host, "\(port)", &hints, &list) == 0 else { throw SASLClient.Failure("\(host): no such host") }
            defer { unsafe freeaddrinfo(list) }
            var number: CInt = 0
            var entry = unsafe list
            while let address = unsafe entry {
                let descriptor = unsafe socket(address.pointee.ai_family, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
                if descriptor >= 0, unsafe Glibc.connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0 {
                    return descriptor
                }
                number = errno
                if descriptor >= 0 { _ = Glibc.close(descriptor) }
                unsafe entry = unsafe address.pointee.ai_next
            }
            throw SASLClient.Failure("Can't connect to authentication server at \(target): \(systemErrorText(number))")
        }
    }
}

/// A connected stream socket, or -1 and the error's number.
func connectUnixSocket(_ path: String, flags: CInt = 0) -> (descriptor: CInt, error: CInt) {
    var address = sockaddr_un()
    let capacity = MemoryLayout.size(ofValue: address.sun_path)
    guard path.utf8.count < capacity else { return (-1, ENAMETOOLONG) }
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
    let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | flags, 0)
    guard descriptor >= 0 else { return (-1, errno) }
    let result = unsafe withUnsafePointer(to: &address) {
        unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
    if result == 0 { return (descriptor, 0) }
    let number = errno
    _ = Glibc.close(descriptor)
    return (-1, number)
}
