import Glibc

/// A system call failed: what was tried and `errno`.
package struct SystemError: Error, Sendable, Hashable, CustomStringConvertible {
    package let operation: String
    package let code: CInt

    init(_ operation: String, code: CInt = errno) {
        self.operation = operation
        self.code = code
    }

    package var description: String { "\(operation): \(errorText(code))" }
}

/// strerror(3).
func errorText(_ code: CInt) -> String { unsafe String(cString: strerror(code)) }
