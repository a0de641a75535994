import Glibc

/// A thread of the operating system, for code that may block.
package final class PlainThread: Sendable {
    private let handle: pthread_t

    private final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Starts the thread. Traps when the system has no thread left, which happens at start-up only.
    package init(_ body: @escaping @Sendable () -> Void) {
        let start = unsafe Unmanaged.passRetained(Start(body)).toOpaque()
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread,
            nil,
            { argument in
                // Takes over the reference that was retained for this thread.
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            },
            start
        )
        precondition(code == 0, "pthread_create: \(systemErrorText(code))")
        handle = thread
    }

    /// Waits for its end. Once only.
    package func join() { pthread_join(handle, nil) }
}
