import COpenSSL
import NIOCore

/// The two buffers between the library and the pipeline: encrypted bytes that came in and are not yet read by the library, and encrypted
/// bytes it has written and that are not yet sent. Both are empty (and hold no memory) while a connection is idle.
final class RecordBuffers {
    private(set) var inbound = ByteBuffer()
    private(set) var outbound = ByteBuffer()
    private let allocator: ByteBufferAllocator

    init(allocator: ByteBufferAllocator) { self.allocator = allocator }

    func received(_ buffer: ByteBuffer) {
        if inbound.readableBytes == 0 {
            // Usually the very buffer that came from the socket: no copy.
            inbound = buffer
        } else {
            var buffer = buffer
            inbound.writeBuffer(&buffer)
        }
    }

    /// Makes room for `plaintext` bytes in records, so that writing them does not grow the buffer step by step.
    func reserve(plaintext count: Int) {
        // At most 256 bytes of header, padding and authentication tag for each record of 16 KiB; in practice 22.
        let needed = count + (count / 16384 + 1) * 64
        if outbound.capacity == 0 {
            outbound = allocator.buffer(capacity: needed)
        } else {
            outbound.reserveCapacity(minimumWritableBytes: needed)
        }
    }

    /// What is to be sent. Gives the memory away.
    func takeOutbound() -> ByteBuffer {
        let taken = outbound
        outbound = ByteBuffer()
        return taken
    }

    func discardInbound() { inbound = ByteBuffer() }

    // MARK: The library's side

    /// Copies up to `target.count` bytes to the library; 0 when there are none.
    fileprivate func read(into target: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(target.count, inbound.readableBytes)
        guard count > 0 else { return 0 }
        unsafe inbound.readWithUnsafeReadableBytes { source in
            unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<count]))
            return count
        }
        if inbound.readableBytes == 0 { inbound = ByteBuffer() }
        return count
    }

    fileprivate func write(_ source: UnsafeRawBufferPointer) {
        if outbound.capacity == 0 { outbound = allocator.buffer(capacity: source.count) }
        unsafe outbound.writeBytes(source)
    }
}

/// The library's view of `RecordBuffers`: a BIO whose reads and writes are the two buffers. Neither ever blocks; a read from an empty buffer
/// asks for a retry, a write always succeeds.
enum RecordBuffersBIO {
    /// Made once and never freed.
    private nonisolated(unsafe) static let method: OpaquePointer? = {
        guard let method = unsafe BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern record buffers") else { return nil }
        unsafe BIO_meth_set_read_ex(method) { bio, data, length, readBytes in
            unsafe postern_BIO_clear_retry_flags(bio)
            guard let buffers = unsafe RecordBuffersBIO.buffers(of: bio), let data = unsafe data, length > 0 else { return 0 }
            let count = unsafe buffers.read(into: UnsafeMutableRawBufferPointer(start: data, count: length))
            guard count > 0 else {
                unsafe postern_BIO_set_retry_read(bio)
                return 0
            }
            unsafe readBytes?.pointee = count
            return 1
        }
        unsafe BIO_meth_set_write_ex(method) { bio, data, length, written in
            unsafe postern_BIO_clear_retry_flags(bio)
            guard let buffers = unsafe RecordBuffersBIO.buffers(of: bio), let data = unsafe data else { return 0 }
            unsafe buffers.write(UnsafeRawBufferPointer(start: data, count: length))
            unsafe written?.pointee = length
            return 1
        }
        unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in
            // The library wants flushing to succeed; the pipeline flushes later. It has no other question we must answer.
            command == BIO_CTRL_FLUSH ? 1 : 0
        }
        unsafe BIO_meth_set_create(method) { bio in
            unsafe BIO_set_init(bio, 1)
            return 1
        }
        return unsafe method
    }()

    /// A BIO over `buffers`, which must outlive it: the BIO does not retain them.
    static func make(over buffers: RecordBuffers) -> OpaquePointer? {
        guard let method = unsafe method, let bio = unsafe BIO_new(method) else { return nil }
        unsafe BIO_set_data(bio, Unmanaged.passUnretained(buffers).toOpaque())
        return unsafe bio
    }

    private static func buffers(of bio: OpaquePointer?) -> RecordBuffers? {
        guard let data = unsafe BIO_get_data(bio) else { return nil }
        return unsafe Unmanaged<RecordBuffers>.fromOpaque(data).takeUnretainedValue()
    }
}
