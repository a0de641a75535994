import Glibc
package import NIOCore
import Synchronization

/// The queue role's connections, for its end. Used from threads that may block.
package final class HandOffConnections: Sendable {
    private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

    package init() {}

    package func add(_ channel: EventLoopFuture<any Channel>) {
        channel.whenSuccess { channel in
            let key = ObjectIdentifier(channel)
            self.channels.withLock { $0[key] = channel }
            channel.closeFuture.whenComplete { _ in _ = self.channels.withLock { $0.removeValue(forKey: key) } }
        }
    }

    /// Takes no new messages; returns when all that were begun are finished and the other sides have closed, at the latest after `seconds`.
    package func drain(seconds: Double) {
        var frame = ByteBuffer()
        HandOffFrame.draining.encode(into: &frame)
        let last = frame
        for channel in channels.withLock({ Array($0.values) }) { channel.writeAndFlush(last, promise: nil) }
        var waits = Int(seconds * 200)
        while waits > 0, channels.withLock({ !$0.isEmpty }) {
            usleep(5_000)
            waits -= 1
        }
        for channel in channels.withLock({ Array($0.values) }) { channel.close(promise: nil) }
    }
}
