import Glibc
package import NIOCore

extension ByteBuffer {
    /// The index of the first `byte` in `range`, by the C library's vectorised search: megabytes of mail are looked through for line ends.
    ///
    /// - Parameter range: indices of this buffer, within its readable bytes; traps when it is not.
    package func firstIndex(of byte: UInt8, in range: Range<Int>) -> Int? {
        precondition(range.lowerBound >= readerIndex && range.upperBound <= writerIndex)
        if range.isEmpty { return nil }
        let start = readerIndex
        return unsafe withUnsafeReadableBytes { bytes -> Int? in
            // Not nil: a buffer with readable bytes has storage.
            guard let base = bytes.baseAddress, let found = unsafe memchr(base + (range.lowerBound - start), CInt(byte), range.count)
            else { return nil }
            return unsafe start + (UnsafeRawPointer(found) - base)
        }
    }
}
