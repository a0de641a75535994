import Glibc

/// The log file cannot be opened.
package struct LogOpenError: Error, CustomStringConvertible {
    package let path: String
    package let code: CInt

    package var description: String { "cannot open log file \(path): \(unsafe String(cString: strerror(code)))" }
}

/// The descriptor behind a log destination.
struct LogOutput {
    private var descriptor: CInt
    private let isSyslog: Bool

    init(_ destination: LogDestination) throws(LogOpenError) {
        switch destination {
        case .standardOutput:
            descriptor = 1
            isSyslog = false
        case .file(let path):
            descriptor = Self.open(path)
            isSyslog = false
            if descriptor < 0 { throw LogOpenError(path: path, code: errno) }
        case .syslog:
            // Connected now: inside a chroot /dev/log is out of reach.
            descriptor = Self.connectSyslog()
            isSyslog = true
        }
    }

    /// A new descriptor of the destination, for `adopt` in this or another process; negative when it cannot be opened, and for standard
    /// output, which stays what it is.
    static func fresh(_ destination: LogDestination) -> CInt {
        switch destination {
        case .standardOutput: -1
        case .file(let path): open(path)
        case .syslog: connectSyslog()
        }
    }

    mutating func adopt(_ fresh: CInt) {
        if descriptor >= 0 { close(descriptor) }
        descriptor = fresh
    }

    /// The syslog daemon went away, and cannot be reached from here.
    var isLost: Bool { descriptor < 0 }

    mutating func write(_ bytes: [UInt8]) {
        guard isSyslog else { return writeAll(bytes[...]) }
        for line in bytes.split(separator: UInt8(ascii: "\n")) { sendDatagram(line) }
    }

    private func writeAll(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                return
            }
        }
    }

    private mutating func sendDatagram(_ line: ArraySlice<UInt8>) {
        // A daemon that was restarted has a new socket: the line gets a second try there.
        for _ in 0..<2 {
            if descriptor < 0 { descriptor = Self.connectSyslog() }
            guard descriptor >= 0 else { return }
            let count = unsafe line.withUnsafeBytes { unsafe send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count < 0, errno == ECONNREFUSED || errno == ENOTCONN || errno == ECONNRESET else { return }
            close(descriptor)
            descriptor = -1
        }
    }

    private static func open(_ path: String) -> CInt {
        unsafe Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0o644)
    }

    private static func connectSyslog() -> CInt {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return -1 }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: "/dev/log".utf8) }
        let result = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if result == 0 { return descriptor }
        close(descriptor)
        return -1
    }
}
