// Replaces a configuration file in one step: whoever reads it sees the old text or the new one.
internal import Glibc

package enum FileReplacement {
    /// Writes a temporary file beside the old one, flushes it, gives it the old one's mode and owner, and renames it into place. The error is
    /// in words; the old file is then untouched. A symbolic link is followed, so that the file it names is replaced.
    package static func replace(_ path: String, with bytes: [UInt8]) throws(EditError) {
        let target = try realPath(path)
        var status = stat()
        guard unsafe stat(target, &status) == 0 else { throw failure("read", target) }
        let temporary = "\(target).tmp.\(getpid())"
        // O_EXCL: never write through a file or link that someone else put there.
        let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("create", temporary) }
        do throws(EditError) {
            try fill(descriptor, with: bytes, like: status, name: temporary)
            guard unsafe rename(temporary, target) == 0 else { throw failure("rename", temporary) }
        } catch {
            unsafe unlink(temporary)
            throw error
        }
        try flushDirectory(of: target)
    }

    private static func fill(_ descriptor: Int32, with bytes: [UInt8], like status: stat, name: String) throws(EditError) {
        defer { close(descriptor) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure("write", name) }
            rest = rest.dropFirst(count)
        }
        guard fchmod(descriptor, status.st_mode & 0o7777) == 0 else { throw failure("set the mode of", name) }
        let mine = status.st_uid == geteuid() && status.st_gid == getegid()
        guard mine || fchown(descriptor, status.st_uid, status.st_gid) == 0 else { throw failure("set the owner of", name) }
        guard fsync(descriptor) == 0 else { throw failure("flush", name) }
    }

    private static func flushDirectory(of path: String) throws(EditError) {
        let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        let descriptor = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open", directory) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("flush", directory) }
    }

    private static func realPath(_ path: String) throws(EditError) -> String {
        guard let resolved = unsafe realpath(path, nil) else { throw failure("read", path) }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    private static func failure(_ verb: String, _ path: String) -> EditError {
        EditError(message: "cannot \(verb) \(path): \(SystemEnvironment.lastError())")
    }
}
