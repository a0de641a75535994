import DequeModule
import Synchronization

/// The connections that the relay may have at a time, over all destinations and loops: a client that names thousands of domains must not take
/// all descriptors of the process, which the spool needs as well. Who finds none free waits in turn.
final class ConnectionSlots: Sendable {
    private struct State {
        var free: Int
        var waiting = Deque<@Sendable () -> Void>()
    }

    private let state: Mutex<State>

    init(_ count: Int) { state = Mutex(State(free: max(1, count))) }

    /// Someone waits: who has had a slot for long should give it up.
    var isContended: Bool { state.withLock { !$0.waiting.isEmpty } }

    /// Takes a slot, or promises one: `granted` is then called with it, once, on any thread.
    func take(orLater granted: @escaping @Sendable () -> Void) -> Bool {
        state.withLock { state in
            guard state.free == 0 else {
                state.free -= 1
                return true
            }
            state.waiting.append(granted)
            return false
        }
    }

    /// Hands a slot on to whoever has waited longest.
    func release() {
        let next = state.withLock { state in
            let next = state.waiting.popFirst()
            if next == nil { state.free += 1 }
            return next
        }
        next?()
    }
}
