package import NIOCore
import Synchronization

/// How many notices about sessions one process sends. Whoever can reach a port can cause them, so there is an end to them: for one peer, and in
/// all. Any thread may ask.
package final class NoticeBudget: Sendable {
    package enum Answer: Sendable, Hashable {
        /// Send it; so many were held back since the last one that was sent.
        case granted(heldBack: Int)
        /// Do not; `isFirst` for the first that is held back since then.
        case heldBack(isFirst: Bool)
    }

    private struct State {
        var began: NIODeadline?
        var sent = 0
        var byPeer: [String: Int] = [:]
        var heldBack = 0
    }

    /// Notices about one peer in ``period``.
    package static let peerLimit = 10
    /// Notices in all in ``period``; so many peers are remembered at most.
    package static let limit = 200
    package static let period = TimeAmount.hours(1)

    private let state = Mutex(State())

    package init() {}

    /// - Parameter peer: the network of a client, the name of a server.
    package func ask(_ peer: String, now: NIODeadline = .now()) -> Answer {
        state.withLock { state in
            if state.began.map({ now - $0 >= Self.period }) ?? true {
                state.began = now
                state.sent = 0
                state.byPeer = [:]
            }
            guard state.sent < Self.limit, state.byPeer[peer, default: 0] < Self.peerLimit else {
                state.heldBack += 1
                return .heldBack(isFirst: state.heldBack == 1)
            }
            state.sent += 1
            state.byPeer[peer, default: 0] += 1
            let heldBack = state.heldBack
            state.heldBack = 0
            return .granted(heldBack: heldBack)
        }
    }
}
