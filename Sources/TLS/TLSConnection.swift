import COpenSSL
import NIOCore

/// One connection of the library (OpenSSL's `SSL`), with its record buffers. Each method is one step that never blocks; "incomplete" means
/// that more bytes must come from the peer first and is no error.
///
/// Belongs to one loop: the library's error queue is the thread's.
@safe
final class TLSConnection {
    let buffers: RecordBuffers
    let pointer: OpaquePointer
    let target: TLSClientTarget?

    enum Step {
        case complete
        case incomplete
        case failed([String])
    }

    enum ReadStep {
        /// At least one byte was appended.
        case data
        case incomplete
        /// The peer has sent close_notify.
        case closed
        case failed([String])
    }

    /// nil if the library has no memory for it. `target` is nil on the server's side.
    init?(context: TLSContext, target: TLSClientTarget?, allocator: ByteBufferAllocator) {
        buffers = RecordBuffers(allocator: allocator)
        self.target = target
        LibraryErrors.clear()
        guard let pointer = unsafe SSL_new(context.pointer) else { return nil }
        unsafe self.pointer = unsafe pointer
        guard let bio = unsafe RecordBuffersBIO.make(over: buffers) else {
            unsafe SSL_free(pointer)
            return nil
        }
        // One BIO for both directions: this takes over our one reference, and SSL_free releases it.
        unsafe SSL_set_bio(pointer, bio, bio)
        if let target {
            if let name = target.serverName { unsafe postern_SSL_set_tlsext_host_name(pointer, name) }
            unsafe SSL_set_connect_state(pointer)
        } else {
            unsafe SSL_set_accept_state(pointer)
        }
    }

    // The BIO points at `buffers` without a reference; both die here, the library's part first.
    deinit { unsafe SSL_free(pointer) }

    func handshake() -> Step {
        LibraryErrors.clear()
        return step(unsafe SSL_do_handshake(pointer))
    }

    /// Appends decrypted bytes to `plaintext`, as many as fit into its free space and are there.
    func read(into plaintext: inout ByteBuffer) -> ReadStep {
        LibraryErrors.clear()
        var result: CInt = 0
        unsafe plaintext.writeWithUnsafeMutableBytes(minimumWritableBytes: 1) { space in
            var count = 0
            result = unsafe SSL_read_ex(pointer, space.baseAddress, space.count, &count)
            return result == 1 ? count : 0
        }
        if result == 1 { return .data }
        switch unsafe SSL_get_error(pointer, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .incomplete
        case SSL_ERROR_ZERO_RETURN: return .closed
        default: return .failed(LibraryErrors.take())
        }
    }

    /// Decrypted bytes the library holds because the last `read` had no room for them.
    var pendingPlaintext: Int { unsafe Int(SSL_pending(pointer)) }

    /// Encrypts all of `plaintext` into the outbound buffer.
    func write(_ plaintext: ByteBuffer) -> Step {
        guard plaintext.readableBytes > 0 else { return .complete }
        buffers.reserve(plaintext: plaintext.readableBytes)
        LibraryErrors.clear()
        let result = unsafe plaintext.withUnsafeReadableBytes { bytes in
            var written = 0
            // Without SSL_MODE_ENABLE_PARTIAL_WRITE success means all of it: our BIO never refuses.
            return unsafe SSL_write_ex(pointer, bytes.baseAddress, bytes.count, &written)
        }
        return step(result)
    }

    /// Writes close_notify; does not wait for the peer's.
    func shutdown() {
        LibraryErrors.clear()
        unsafe SSL_shutdown(pointer)
        LibraryErrors.clear()
    }

    private func step(_ result: CInt) -> Step {
        if result == 1 { return .complete }
        switch unsafe SSL_get_error(pointer, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .incomplete
        default: return .failed(LibraryErrors.take())
        }
    }
}
