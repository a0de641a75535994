import NIOCore
import Notices
import Synchronization

/// The sessions of this process: who they are for the log, and how they end when the process stops.
package final class SessionRegistry: Sendable {
    private struct State {
        var sessions: [Int: NIOLoopBound<SessionFeeder>] = [:]
        var nextNumber: Int
        var isShuttingDown = false
        /// Sessions beyond the limit, which are told so and end.
        var turnedAway: Set<Int> = []
        var served: Int { sessions.count - turnedAway.count }
        /// New sessions are served with the stress values; see ``SessionRegistry/stress()``.
        var isStressed = false
    }

    private let state: Mutex<State>

    /// Numbers stay below the kernel's largest process id, for readers of the log that take them for one.
    private static let largestNumber = 4_194_303

    /// `smtpd_connection_limit`: sessions of this process; those beyond it are turned away. 0 for no limit.
    private let limit: Int

    /// - Parameter firstNumber: where the numbering of sessions starts; another one for each generation keeps them apart in the log.
    package init(firstNumber: Int = Int.random(in: 1...4_194_303), limit: Int = 0, bodyMemory: BodyMemory = BodyMemory()) {
        self.limit = limit
        self.bodyMemory = bodyMemory
        state = Mutex(State(nextNumber: firstNumber))
    }

    /// The limit was reached when this session was entered: it is not served.
    func isTurnedAway(_ number: Int) -> Bool { limit > 0 && state.withLock { $0.turnedAway.contains(number) } }

    /// Notices about the sessions.
    let notices = NoticeBudget()

    /// Content that the sessions hold.
    package let bodyMemory: BodyMemory

    /// So many sessions are alive that new ones are to be served with the `${stress?...}` values. It begins at four fifths of
    /// `smtpd_connection_limit` and ends at three fifths, so that it does not come and go with each client.
    /// - Returns: the state, and whether it has just changed.
    func stress() -> (isStressed: Bool, hasChanged: Bool) {
        guard limit > 0 else { return (false, false) }
        return state.withLock { state in
            let before = state.isStressed
            // Products of a count and 5 cannot overflow: there are never that many descriptors.
            state.isStressed = state.served * 5 >= limit * (before ? 3 : 4)
            return (state.isStressed, state.isStressed != before)
        }
    }

    /// `smtpd_connection_limit`, for the log.
    var sessionLimit: Int { limit }

    /// Sessions alive now.
    package var count: Int { state.withLock { $0.sessions.count } }

    /// No further command is taken: idle sessions get `421 4.3.2` at once, the others after the command (or message) they are in.
    /// Sessions started afterwards are turned away the same way. Ends by itself when ``count`` reaches zero.
    package func shutDown() {
        let sessions = state.withLock { state in
            state.isShuttingDown = true
            return Array(state.sessions.values)
        }
        for session in sessions { session.eventLoop.execute { session.value.requestShutdown() } }
    }

    /// Enters a session; its number takes a process id's place in the log, distinct among the sessions that are alive.
    func add(_ feeder: SessionFeeder, on loop: any EventLoop) -> Int {
        let bound = NIOLoopBound(feeder, eventLoop: loop)
        let (number, isShuttingDown) = state.withLock { state in
            repeat {
                state.nextNumber = state.nextNumber >= Self.largestNumber ? 1 : state.nextNumber + 1
            } while state.sessions[state.nextNumber] != nil
            if limit > 0, state.served >= limit { state.turnedAway.insert(state.nextNumber) }
            state.sessions[state.nextNumber] = bound
            return (state.nextNumber, state.isShuttingDown)
        }
        if isShuttingDown { feeder.requestShutdown() }
        return number
    }

    func remove(_ number: Int) {
        state.withLock {
            $0.sessions.removeValue(forKey: number)
            $0.turnedAway.remove(number)
        }
    }
}
