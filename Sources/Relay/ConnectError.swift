import Glibc
import NIOCore
import NIOPosix

/// Why a connection was not made, in the words of the C library.
enum ConnectError {
    static func text(_ error: any Error) -> String {
        switch error {
        case let error as IOError: text(errno: error.errnoCode)
        case ChannelError.connectTimeout: "Connection timed out"
        case let error as NIOConnectionError: error.connectionErrors.last.map { text($0.error) } ?? "Host not found"
        default: "\(error)"
        }
    }

    static func text(errno code: CInt) -> String {
        switch code {
        case ECONNREFUSED: "Connection refused"
        case ETIMEDOUT: "Connection timed out"
        case EHOSTUNREACH: "No route to host"
        case ENETUNREACH: "Network is unreachable"
        case ECONNRESET: "Connection reset by peer"
        case EADDRNOTAVAIL: "Cannot assign requested address"
        case EADDRINUSE: "Address already in use"
        case EACCES: "Permission denied"
        case EPERM: "Operation not permitted"
        case ENOENT: "No such file or directory"
        case ENOTSOCK: "Socket operation on non-socket"
        case EMFILE: "Too many open files"
        case ENFILE: "Too many open files in system"
        case ENOBUFS: "No buffer space available"
        case EAFNOSUPPORT: "Address family not supported by protocol"
        default: "error \(code)"
        }
    }
}
