import Glibc

/// A counting semaphore whose waits can time out on the monotonic clock.
@safe final class Semaphore: @unchecked Sendable {
    // Neither may move, so they live on the heap; `count` is touched with the mutex held only.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var count = 0

    init() {
        unsafe pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(condition, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    func post() {
        unsafe pthread_mutex_lock(mutex)
        count += 1
        unsafe pthread_cond_signal(condition)
        unsafe pthread_mutex_unlock(mutex)
    }

    func wait() {
        unsafe pthread_mutex_lock(mutex)
        while count == 0 { unsafe pthread_cond_wait(condition, mutex) }
        count -= 1
        unsafe pthread_mutex_unlock(mutex)
    }

    /// Returns after a post, or after about that many seconds, whichever comes first.
    func wait(seconds: Double) {
        var until = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &until)
        let bounded = max(0, min(seconds, 86_400))
        let nanoseconds = until.tv_nsec + Int((bounded - bounded.rounded(.down)) * 1e9)
        until.tv_sec += Int(bounded) + nanoseconds / 1_000_000_000
        until.tv_nsec = nanoseconds % 1_000_000_000
        unsafe pthread_mutex_lock(mutex)
        while count == 0 {
            if unsafe pthread_cond_timedwait(condition, mutex, &until) == ETIMEDOUT { break }
        }
        if count > 0 { count -= 1 }
        unsafe pthread_mutex_unlock(mutex)
    }
}
