import NIOCore
import SMTPCore

// All integers of the journal are little-endian. Reading never traps and never allocates on the word of a count: a field that is
// not there is nil, and the caller gives the record up as damaged.

extension ByteBuffer {
    mutating func writeField(_ value: some FixedWidthInteger) { writeInteger(value, endianness: .little) }

    mutating func writeField(_ value: Double) { writeField(value.bitPattern) }

    mutating func writeField(_ value: Bool) { writeField(UInt8(value ? 1 : 0)) }

    mutating func writeField(_ text: String) {
        let text = text.utf8
        writeField(UInt32(truncatingIfNeeded: text.count))
        writeBytes(text)
    }

    mutating func writeField(_ address: Address) {
        writeField(address.domain != nil)
        writeField(address.localPart)
        if let domain = address.domain { writeField(domain) }
    }

    mutating func readField<T: FixedWidthInteger>(_: T.Type = T.self) -> T? { readInteger(endianness: .little) }

    /// Only finite numbers: every use of a time is arithmetic.
    mutating func readDouble() -> Double? {
        guard let bits: UInt64 = readField() else { return nil }
        let value = Double(bitPattern: bits)
        return value.isFinite && abs(value) < 1e15 ? value : nil
    }

    mutating func readFlag() -> Bool? {
        guard let byte: UInt8 = readField(), byte <= 1 else { return nil }
        return byte == 1
    }

    mutating func readText() -> String? {
        guard let count: UInt32 = readField(), count <= readableBytes else { return nil }
        return readString(length: Int(count))
    }

    mutating func readAddress() -> Address? {
        guard let hasDomain = readFlag(), let localPart = readText() else { return nil }
        guard hasDomain else { return Address(localPart: localPart, domain: nil) }
        guard let domain = readText() else { return nil }
        return Address(localPart: localPart, domain: domain)
    }

    /// A list of `count` elements; the count is believed only as far as elements can be read.
    mutating func readList<T>(_ element: (inout ByteBuffer) -> T?) -> [T]? {
        guard let count: UInt32 = readField(), count <= readableBytes else { return nil }
        var list: [T] = []
        for _ in 0..<count {
            guard let value = element(&self) else { return nil }
            list.append(value)
        }
        return list
    }
}
