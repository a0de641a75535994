import CSASL

/// Bytes that are overwritten when their last owner lets go, and that cannot be printed. Copies made by reading ``bytes`` are the reader's
/// own to wipe.
package final class SecretBytes: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    package let bytes: [UInt8]

    /// Copies always: `Array(array)` would share the storage that is wiped in the end.
    package init(_ bytes: some Collection<UInt8>) { self.bytes = bytes.map { $0 } }

    package convenience init(_ text: String) { self.init(text.utf8) }

    deinit {
        // The array is immutable to everybody else, and its storage is ours alone unless somebody keeps a copy, who then sees zeros
        // only if that copy shares storage: so nobody keeps one.
        unsafe bytes.withUnsafeBytes { unsafe postern_wipe(UnsafeMutableRawPointer(mutating: $0.baseAddress), $0.count) }
    }

    package var description: String { "(secret, \(bytes.count) bytes)" }
    package var debugDescription: String { description }
}

/// Overwrites what is in `bytes`.
func wipe(_ bytes: inout [UInt8]) {
    unsafe bytes.withUnsafeMutableBytes { unsafe postern_wipe($0.baseAddress, $0.count) }
}
