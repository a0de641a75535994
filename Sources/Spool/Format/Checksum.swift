import CLinux
import NIOCore

/// CRC-32C of the readable bytes, continuing from `previous` (0 to start).
func crc32c(_ bytes: ByteBuffer, continuing previous: UInt32 = 0) -> UInt32 {
    unsafe bytes.withUnsafeReadableBytes { unsafe postern_crc32c(previous, $0.baseAddress, $0.count) }
}
