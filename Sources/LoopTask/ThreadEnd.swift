import Dispatch
package import NIOPosix

/// The end of loops and threads in a role.
///
/// NIO's own ways without a queue use libdispatch's pool, which looks after its threads in /proc and ends a confined process with a trap (see
/// ``pause(_:)``): an smtpd role with its last log lines, a queue role before it has written down what it has delivered. A serial queue has
/// threads that are not looked after.
package enum ThreadEnd {
    private static var queue: DispatchQueue { DispatchQueue(label: "postern.end") }

    /// Ends the loops, and waits for that; not to be called on one of them.
    package static func wait(for group: MultiThreadedEventLoopGroup) {
        let ended = DispatchSemaphore(value: 0)
        group.shutdownGracefully(queue: queue) { _ in ended.signal() }
        ended.wait()
    }

    /// Ends the threads after what they are doing.
    package static func of(_ pool: NIOThreadPool) async {
        await withCheckedContinuation { ended in
            pool.shutdownGracefully(queue: queue) { _ in ended.resume() }
        }
    }
}
