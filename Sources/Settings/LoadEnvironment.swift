package import SMTPCore

/// What loading a configuration asks of the machine. Tests write it down; `SystemEnvironment` asks the real one.
package struct LoadEnvironment: Sendable {
    /// The content of a file, or why it cannot be read, in words (`No such file or directory`).
    package var readFile: @Sendable (_ path: String) -> Result<[UInt8], FileProblem>
    /// The addresses of a host name, from hosts and DNS; empty when it has none.
    package var resolve: @Sendable (_ host: String) -> [IPAddress]
    package var facts: HostFacts
    /// Whether the kernel has IPv6.
    package var hasIPv6: Bool

    package init(
        readFile: @escaping @Sendable (String) -> Result<[UInt8], FileProblem>,
        resolve: @escaping @Sendable (String) -> [IPAddress],
        facts: HostFacts,
        hasIPv6: Bool
    ) {
        self.readFile = readFile
        self.resolve = resolve
        self.facts = facts
        self.hasIPv6 = hasIPv6
    }

    /// Why a file cannot be read.
    package struct FileProblem: Error, Sendable, Hashable {
        package var message: String

        package init(message: String) { self.message = message }
    }
}
