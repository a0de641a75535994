import ArgumentParser
import Authentication
import Glibc

/// Passwords from a terminal without echo, or from a pipe.
enum PasswordPrompt {
    private static let limit = 4096

    /// Up to the first line's end of standard input.
    static func standardInputLine() throws -> SecretBytes { try line(from: STDIN_FILENO) }

    /// Asks twice on the terminal; throws if the two differ.
    static func askTwice(for account: String) throws -> SecretBytes {
        let first = try ask("Password for \(account): ")
        let second = try ask("Again (for verification): ")
        guard first.bytes == second.bytes else { throw ValidationError("the two passwords differ") }
        return first
    }

    static func ask(_ prompt: String) throws -> SecretBytes {
        let terminal = unsafe open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)
        guard terminal >= 0 else { throw ValidationError("there is no terminal to ask for the password on: use -p") }
        defer { close(terminal) }
        var settings = termios()
        guard unsafe tcgetattr(terminal, &settings) == 0 else { throw ValidationError("/dev/tty is no terminal: use -p") }
        let before = settings
        settings.c_lflag &= ~tcflag_t(ECHO)
        settings.c_lflag |= tcflag_t(ICANON)
        unsafe tcsetattr(terminal, TCSAFLUSH, &settings)
        defer {
            var settings = before
            unsafe tcsetattr(terminal, TCSAFLUSH, &settings)
            say("\n", to: terminal)
        }
        say(prompt, to: terminal)
        return try line(from: terminal)
    }

    private static func line(from descriptor: CInt) throws -> SecretBytes {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(limit)
        defer { for index in bytes.indices { bytes[index] = 0 } }
        var byte: UInt8 = 0
        while bytes.count < limit {
            let count = unsafe read(descriptor, &byte, 1)
            if count < 0, errno == EINTR { continue }
            guard count == 1, byte != 0x0A else { break }
            bytes.append(byte)
        }
        if bytes.last == 0x0D { bytes.removeLast() }
        guard !bytes.isEmpty, bytes.count < limit else { throw ValidationError("no password, or one that is too long") }
        return SecretBytes(bytes)
    }

    private static func say(_ text: String, to descriptor: CInt) {
        let bytes = Array(text.utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    }
}
