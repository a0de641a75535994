import Glibc

/// readlink(2), and the way from a path to its file, link by link.
enum SymbolicLink {
    /// Where a change can make `path` lead to another file: the directory of the file, and those of all links on the way to it, as
    /// absolute paths that end in a slash.
    static func directories(on path: String) -> Set<String> {
        var found: Set<String> = []
        var directory = "/"
        var rest = Array(path.split(separator: "/").reversed())
        // As many links as the kernel follows.
        var links = 40
        while let name = rest.popLast() {
            if name == ".." {
                directory = parent(of: directory)
            } else if name != ".", links > 0, let target = target(of: directory + name) {
                links -= 1
                found.insert(directory)
                if target.hasPrefix("/") { directory = "/" }
                rest += target.split(separator: "/").reversed()
            } else if rest.isEmpty {
                found.insert(directory)
            } else if name != "." {
                directory += name + "/"
            }
        }
        return found
    }

    private static func parent(of directory: String) -> String {
        directory.dropLast().lastIndex(of: "/").map { String(directory[...$0]) } ?? "/"
    }

    /// nil for what is no link.
    static func target(of path: String) -> String? {
        var bytes = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink(path, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
    }
}
