import Glibc
import SMTPCore

/// The listening TCP sockets of this machine, as /proc shows them, and whose they are.
enum ListeningPorts {
    struct Entry: Sendable, Hashable {
        let address: IPAddress
        let port: UInt16
        let userID: UInt32
        let inode: UInt64
    }

    /// The lines of /proc/net/tcp or tcp6 that listen; anything else is skipped.
    static func parse(_ text: String) -> [Entry] {
        text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            // 0A is TCP_LISTEN.
            guard fields.count >= 10, fields[3] == "0A", let user = UInt32(fields[7]), let inode = UInt64(fields[9]) else { return nil }
            let name = fields[1].split(separator: ":")
            guard name.count == 2, let port = UInt16(name[1], radix: 16), let address = address(name[0]) else { return nil }
            return Entry(address: address, port: port, userID: user, inode: inode)
        }
    }

    /// Words of the kernel's byte order, each the network order of four bytes.
    private static func address(_ hex: Substring) -> IPAddress? {
        guard hex.utf8.count == 8 || hex.utf8.count == 32, hex.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        var words: [UInt32] = []
        var rest = hex
        while !rest.isEmpty {
            guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            words.append(UInt32(bigEndian: word))
            rest = rest.dropFirst(8)
        }
        if words.count == 1 { return .v4(words[0]) }
        return .v6(high: UInt64(words[0]) << 32 | UInt64(words[1]), low: UInt64(words[2]) << 32 | UInt64(words[3]))
    }

    /// The socket that keeps `address`:`port` from being bound: on the same address rather than on all.
    static func occupant(of address: IPAddress, _ port: UInt16, among entries: [Entry]) -> Entry? {
        let candidates = entries.filter { $0.port == port }
        return candidates.first { $0.address == address }
            ?? candidates.first { isAny($0.address) || isAny(address) }
    }

    private static func isAny(_ address: IPAddress) -> Bool { address == .v4(0) || address == .v6(high: 0, low: 0) }

    /// Who listens there, for a message: `master, process 812 (user root)`. nil when nobody does by now.
    static func describeOccupant(of address: IPAddress, _ port: UInt16) -> String? {
        let entries = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].flatMap { parse(ProcessTable.text($0) ?? "") }
        guard let entry = occupant(of: address, port, among: entries) else { return nil }
        let user = "user \(Account.name(of: entry.userID))"
        guard let pid = ProcessTable.holder(ofSocket: entry.inode) else { return "a process of \(user) that only root can name" }
        if pid == getpid() { return "another service of this master.cf" }
        return "\(ProcessTable.name(pid)), process \(pid) (\(user))"
    }
}

/// What /proc tells of other processes.
enum ProcessTable {
    /// A process that has the socket with this inode open; nil when there is none that we may look into.
    static func holder(ofSocket inode: UInt64) -> pid_t? {
        let wanted = "socket:[\(inode)]"
        return DirectoryEntries.of("/proc").lazy.compactMap { pid_t($0) }.first { pid in
            DirectoryEntries.of("/proc/\(pid)/fd").contains { SymbolicLink.target(of: "/proc/\(pid)/fd/\($0)") == wanted }
        }
    }

    /// The program's name.
    static func name(_ pid: pid_t) -> String {
        let name = (text("/proc/\(pid)/comm") ?? "").prefix { $0 != "\n" }
        return name.isEmpty ? "a program" : String(name)
    }

    /// A small file, whole.
    static func text(_ path: String) -> String? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            // A table of sockets can be long, not endless.
            guard count > 0, bytes.count < 1 << 26 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }
}
