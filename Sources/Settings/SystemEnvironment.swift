// The configuration's only contact with the system: reading files, the host's name and addresses, and names in inet_interfaces.
internal import Glibc
internal import SMTPCore

/// Asks the real machine.
package enum SystemEnvironment {
    /// Files beyond this are not configuration.
    private static let fileLimit = 16 << 20

    /// The environment of this machine as it is now. Names are resolved when asked for, with getaddrinfo(3), which blocks: call it from the
    /// supervisor, not on a loop.
    package static func current() -> LoadEnvironment {
        LoadEnvironment(
            readFile: readFile,
            resolve: resolve,
            facts: HostFacts(hostName: hostName(), interfaces: interfaces()),
            hasIPv6: unsafe access("/proc/net/if_inet6", F_OK) == 0
        )
    }

    /// Reads a whole regular file.
    package static func readFile(_ path: String) -> Result<[UInt8], LoadEnvironment.FileProblem> {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return .failure(.init(message: lastError())) }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return .failure(.init(message: lastError())) }
        guard status.st_mode & S_IFMT == S_IFREG else { return .failure(.init(message: "not a regular file")) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0 { return .failure(.init(message: lastError())) }
            if count == 0 { return .success(content) }
            content += buffer[..<count]
            if content.count > fileLimit { return .failure(.init(message: "the file is larger than \(fileLimit) bytes")) }
        }
    }

    static func lastError() -> String { unsafe String(cString: strerror(errno)) }

    private static func hostName() -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        let count = buffer.count - 1
        guard unsafe gethostname(&buffer, count) == 0 else { return "localhost" }
        let name = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return name.isEmpty ? "localhost" : name
    }

    private static func interfaces() -> [HostFacts.Interface] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return [] }
        defer { unsafe freeifaddrs(list) }
        var out: [HostFacts.Interface] = []
        var next = unsafe list
        while let entry = unsafe next {
            unsafe next = entry.pointee.ifa_next
            guard unsafe entry.pointee.ifa_flags & UInt32(IFF_UP) != 0, let address = unsafe address(entry.pointee.ifa_addr) else {
                continue
            }
            let mask = unsafe SystemEnvironment.address(entry.pointee.ifa_netmask)
            out.append(.init(address: address, prefixLength: mask?.leadingOnes ?? address.bitWidth))
        }
        // Postfix lists IPv4 before IPv6.
        return out.filter { $0.address.bitWidth == 32 } + out.filter { $0.address.bitWidth == 128 }
    }

    private static func resolve(_ host: String) -> [IPAddress] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { unsafe freeaddrinfo(list) }
        var out: [IPAddress] = []
        var next = unsafe list
        while let entry = unsafe next {
            unsafe next = entry.pointee.ai_next
            if let address = unsafe address(entry.pointee.ai_addr), !out.contains(address) { out.append(address) }
        }
        return out
    }

    /// The address in a socket address; nil for another family than IPv4 and IPv6.
    private static func address(_ pointer: UnsafeMutablePointer<sockaddr>?) -> IPAddress? {
        guard let pointer = unsafe pointer else { return nil }
        let raw = UnsafeRawPointer(pointer)
        switch unsafe Int32(pointer.pointee.sa_family) {
        case AF_INET:
            return unsafe .v4(UInt32(bigEndian: raw.loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr))
        case AF_INET6:
            let offset = 8  // sin6_addr follows family, port and flow information.
            return unsafe .v6(
                high: UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
                low: UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
            )
        default: return nil
        }
    }
}

extension IPAddress {
    /// As a netmask: the length of its prefix.
    fileprivate var leadingOnes: Int {
        switch self {
        case .v4(let value): (~value).leadingZeroBitCount
        case .v6(let high, let low): high == .max ? 64 + (~low).leadingZeroBitCount : (~high).leadingZeroBitCount
        }
    }
}
