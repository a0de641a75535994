import SMTPCore
import Synchronization

/// What content that is not yet anybody's message may take of the process's descriptors and of the disk. Used by the threads that write it.
final class ContentRoom: Sendable {
    private struct State {
        var open = 0
        /// Bytes that may be written before the disk is asked again.
        var untilLook = 0
        var isRefusing = false
    }

    /// A look at the disk serves for so many bytes, if there is room for them.
    private static let lookInterval = 16 << 20

    private let openLimit: Int
    private let minFree: UInt64
    private let directory: String
    private let fileSystem: any SpoolFileSystem
    private let state = Mutex(State())

    init(_ options: SpoolOptions, directory: String, fileSystem: any SpoolFileSystem) {
        openLimit = max(options.openContentLimit, 1)
        minFree = options.contentMinFree
        self.directory = directory
        self.fileSystem = fileSystem
    }

    enum Place: Sendable, Hashable {
        case taken
        /// - Parameter isFirst: since there were places enough.
        case refused(isFirst: Bool)
    }

    /// Takes a place for one more open file.
    func takePlace() -> Place {
        state.withLock { state in
            if state.open < openLimit {
                state.open += 1
                return .taken
            }
            defer { state.isRefusing = true }
            return .refused(isFirst: !state.isRefusing)
        }
    }

    func returnPlace() {
        state.withLock { state in
            state.open -= 1
            // Not at the first place that is free: each would make a line in the log.
            if state.open <= openLimit / 2 { state.isRefusing = false }
        }
    }

    /// Whether `count` more bytes leave enough of the disk to everything else. Blocking.
    func hasRoom(for count: Int) -> Bool {
        guard minFree > 0 else { return true }
        let mustLook = state.withLock { state in
            state.untilLook -= count
            return state.untilLook < 0
        }
        guard mustLook, let free = try? fileSystem.freeSpace(directory) else { return true }
        let room = Int(clamping: free) - Int(clamping: minFree)
        state.withLock { $0.untilLook = min(max(0, room - count) / 2, Self.lookInterval) }
        return room >= count
    }
}
