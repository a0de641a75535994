/// The sessions of this process: who they are for the log, and how they end when the process stops.
package final class SessionRegistry: Sendable {
    package init() {}

    /// Sessions alive now.
    package var count: Int { 0 }

    /// No further command is taken: idle sessions get `421 4.3.2` at once, the others after the command (or message) they are in.
    /// Sessions started afterwards are turned away the same way. Ends by itself when ``count`` reaches zero.
    package func shutDown() {}
}
