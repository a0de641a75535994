/// What the supervisor needs to know of the configuration; everything else the roles read for themselves.
package struct ServerPlan: Sendable {
    package var configurationDirectory: String
    package var queueDirectory: String
    /// Event loops of the smtpd role, and so hand-off connections to the queue role.
    package var loops: Int
    /// Workers for each SASL profile; empty when no service authenticates through Cyrus SASL.
    package var workersPerProfile: [Int]
    /// Seconds sessions may take to finish after SIGTERM.
    package var stopLimit = 15.0
}
