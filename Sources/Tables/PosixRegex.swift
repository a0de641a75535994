import Glibc

/// A POSIX regular expression, compiled by the C library.
///
/// `@unchecked Sendable`: the compiled form is written by `regcomp` in `init` only, and `regexec` may be called on it from several threads
/// at once (POSIX; glibc guards its matcher's cache with a lock inside `regex_t`).
@safe final class PosixRegex: @unchecked Sendable {
    private let compiled: UnsafeMutablePointer<regex_t>

    struct CompileError: Error {
        var reason: String
    }

    init(_ pattern: String, extended: Bool, ignoringCase: Bool, matchingLines: Bool) throws(CompileError) {
        var flags: Int32 = 0
        if extended { flags |= REG_EXTENDED }
        if ignoringCase { flags |= REG_ICASE }
        if matchingLines { flags |= REG_NEWLINE }
        // The pointer lives until deinit, where a successful regcomp is undone by regfree before the memory is given back.
        let memory = UnsafeMutablePointer<regex_t>.allocate(capacity: 1)
        unsafe memory.initialize(to: regex_t())
        let code = unsafe regcomp(memory, pattern, flags)
        guard code == 0 else {
            var text = [CChar](repeating: 0, count: 200)
            let length = unsafe regerror(code, memory, &text, text.count)
            unsafe memory.deinitialize(count: 1)
            unsafe memory.deallocate()
            let bytes = text.prefix(max(0, min(length, text.count) - 1)).map { UInt8(bitPattern: $0) }
            throw CompileError(reason: String(decoding: bytes, as: UTF8.self))
        }
        unsafe compiled = memory
    }

    deinit {
        unsafe regfree(compiled)
        unsafe compiled.deinitialize(count: 1)
        unsafe compiled.deallocate()
    }

    /// The text of the whole match and its groups (empty where a group took no part), or nil. At most ten, `$0` to `$9`.
    func firstMatch(in text: String) -> [String]? {
        if text.utf8.contains(0) { return nil }
        var spans = [regmatch_t](repeating: regmatch_t(), count: 10)
        guard unsafe regexec(compiled, text, spans.count, &spans, 0) == 0 else { return nil }
        let bytes = Array(text.utf8)
        return spans.map { span in
            let start = Int(span.rm_so)
            let end = Int(span.rm_eo)
            guard start >= 0, end >= start, end <= bytes.count else { return "" }
            return String(decoding: bytes[start..<end], as: UTF8.self)
        }
    }
}
