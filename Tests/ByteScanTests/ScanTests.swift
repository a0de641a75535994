import ByteScan
import NIOCore
import Testing

@Suite struct ScanTests {
    @Test func findsWhatTheCollectionFinds() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            var buffer = ByteBuffer()
            buffer.writeBytes((0..<Int.random(in: 0...90, using: &generator)).map { _ in UInt8.random(in: 0...3, using: &generator) })
            buffer.moveReaderIndex(forwardBy: Int.random(in: 0...buffer.readableBytes, using: &generator))
            let start = Int.random(in: buffer.readerIndex...buffer.writerIndex, using: &generator)
            let end = Int.random(in: start...buffer.writerIndex, using: &generator)
            #expect(buffer.firstIndex(of: 3, in: start..<end) == buffer.readableBytesView[start..<end].firstIndex(of: 3))
        }
    }

    @Test func lookingNowhereFindsNothing() {
        #expect(ByteBuffer().firstIndex(of: 0, in: 0..<0) == nil)
    }
}
