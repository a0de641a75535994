/// Which server is asked when: the schedule of one question.
///
/// Each round asks every server once. Waits begin at a second and double with each round, so that a dead server costs a second; the last
/// step waits the full `timeout`. Earlier packets may still be answered during later steps, so a slow server loses nothing.
struct AttemptPlan: Sendable, Hashable {
    struct Step: Sendable, Hashable {
        /// Index into the configured servers.
        var server: Int
        /// Milliseconds until the next step.
        var wait: Int
    }

    private(set) var steps: [Step] = []

    /// - Parameters:
    ///   - first: the server to begin with.
    ///   - timeout: in seconds.
    init(servers: Int, first: Int, attempts: Int, timeout: Int) {
        for round in 0..<attempts {
            for index in 0..<servers {
                steps.append(Step(server: (first + index) % servers, wait: min(timeout, 1 << round) * 1_000))
            }
        }
        if let last = steps.indices.last { steps[last].wait = timeout * 1_000 }
    }
}
