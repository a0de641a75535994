import Glibc
import SMTPCore

/// A system call failed: what was tried and `errno`.
package struct SystemError: Error, Sendable, Hashable, CustomStringConvertible {
    package let operation: String
    package let code: CInt
    /// What else is known, with a space in front.
    private(set) var advice = ""

    init(_ operation: String, code: CInt = errno) {
        self.operation = operation
        self.code = code
    }

    package var description: String { "\(operation): \(errorText(code))\(advice)" }
}

extension SystemError {
    /// Binding failed: with who is in the way, and what to do.
    func explained(_ address: IPAddress, _ port: UInt16) -> SystemError {
        var error = self
        switch code {
        case EADDRINUSE:
            if let occupant = ListeningPorts.describeOccupant(of: address, port) {
                error.advice = " by \(occupant): stop it, or change the port in master.cf"
            }
        case EACCES: error.advice = " (a port below 1024 needs root, CAP_NET_BIND_SERVICE or socket activation)"
        case EADDRNOTAVAIL: error.advice = " (no interface of this machine has it: see inet_interfaces and master.cf)"
        default: break
        }
        return error
    }
}

/// strerror(3).
func errorText(_ code: CInt) -> String { unsafe String(cString: strerror(code)) }
