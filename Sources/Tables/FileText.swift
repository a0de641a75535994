import Glibc
import Settings

/// Reads a whole file, at start only.
enum FileText {
    /// Tables are held in memory; a larger file is a mistake.
    static let maximumSize = 256 << 20

    /// The file's bytes.
    /// - Throws: `open PATH: reason`, at `location` (where the file is named).
    static func read(_ path: String, at location: SourceLocation?) throws(ConfigurationError) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ConfigurationError("open \(path): \(reason(errno))", at: location) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            // `read` writes at most `chunk.count` bytes, the size of the buffer it is given.
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw ConfigurationError("read \(path): \(reason(errno))", at: location)
            }
            bytes += chunk[..<count]
            if bytes.count > maximumSize { throw ConfigurationError("\(path): larger than \(maximumSize) bytes", at: location) }
        }
    }

    /// `strerror`; called before any other thread exists.
    private static func reason(_ code: Int32) -> String {
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }
}
