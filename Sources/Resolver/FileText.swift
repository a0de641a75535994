internal import Glibc

/// Reads the small files of the system that the resolver needs at start.
enum FileText {
    /// A hosts file may hold long block lists; beyond this it is a mistake.
    static let maximumSize = 64 << 20

    /// The file's text (ill-formed UTF-8 repaired); empty if it does not exist.
    static func read(_ path: String) throws(ResolverConfigurationError) -> String {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return "" }
            throw ResolverConfigurationError(path: path, reason: errorText())
        }
        defer { close(descriptor) }
        var contents: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            // The buffer outlives the call and its own count bounds the read.
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw ResolverConfigurationError(path: path, reason: errorText()) }
            guard count > 0 else { return String(decoding: contents, as: UTF8.self) }
            contents += chunk[..<count]
            guard contents.count <= maximumSize else { throw ResolverConfigurationError(path: path, reason: "file is too large") }
        }
    }

    private static func errorText() -> String { unsafe String(cString: strerror(errno)) }
}
