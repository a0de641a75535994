/// When a role that has ended is started again: at once if it had run for a while, else after a pause that doubles up to a minute.
struct RestartPolicy: Sendable, Hashable {
    /// Seconds a role must have lived for its death not to count as part of a crash loop.
    static let stableAfter = 10.0
    static let longestPause = 60.0

    private(set) var failuresInARow = 0

    /// The pause in seconds before the next start.
    mutating func pause(afterLifetime seconds: Double) -> Double {
        if seconds >= Self.stableAfter { failuresInARow = 0 }
        failuresInARow += 1
        return failuresInARow == 1 ? 0 : min(Self.longestPause, Double(1 << min(failuresInARow - 2, 6)))
    }
}
