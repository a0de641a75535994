package import NIOCore
import NIOPosix

/// Lets the present task wait, and its event loop go on. Ends early when the task is cancelled.
///
/// Not `Task.sleep`: that uses libdispatch's pool, which looks after its threads in /proc once a second while work waits for one, and ends the
/// process with a trap when it cannot read there. A confined role cannot.
package func pause(_ duration: TimeAmount) async {
    guard let loop = MultiThreadedEventLoopGroup.currentEventLoop else {
        // Off the loops, as in a test or `postern explain`.
        try? await Task.sleep(nanoseconds: UInt64(max(duration.nanoseconds, 0)))
        return
    }
    let end = loop.scheduleTask(in: duration) {}
    await withTaskCancellationHandler {
        try? await end.futureResult.get()
    } onCancel: {
        end.cancel()
    }
}
