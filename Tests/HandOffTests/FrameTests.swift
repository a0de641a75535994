import NIOCore
import SMTPCore
import Testing

@testable import HandOff

@Suite struct FrameTests {
    static let envelope: Envelope = {
        var origin = MessageOrigin()
        origin.clientName = "mua.example"
        origin.saslUsername = "älice"
        var envelope = Envelope(
            sender: .null,
            recipients: [
                Recipient(
                    address: Address(localPart: "a b", domain: "example.com"),
                    notify: [.success, .delay],
                    declaredOriginal: "utf-8;älice@example.com"
                ),
                Recipient(address: Address(localPart: "x", domain: "y.example"), original: Address(localPart: "alias", domain: nil)),
            ],
            body: .eightBitMIME,
            origin: origin
        )
        envelope.needsUTF8 = true
        envelope.returns = .headers
        envelope.envelopeID = "QQ 314159"
        envelope.verpDelimiters = VERPDelimiters(outer: UInt8(ascii: "+"), inner: UInt8(ascii: "="))
        envelope.contentFilter = ContentFilter(transport: "scan", nextHop: "[127.0.0.1]:10025")
        envelope.isHeld = true
        return envelope
    }()

    static var frames: [HandOffFrame] {
        let id = QueueID(rawValue: 0x6560_A1B2_00)
        let bytes = ByteBuffer(string: "Subject: x\r\n\r\nbody\r\n")
        return [
            .message(id, envelope, bytes), .begin(id, envelope), .chunk(id, bytes), .amend(id, envelope), .commit(id), .abort(id),
            .requestQueueIDs,
            .flush(domain: "x.example"),
            .queueIDs(first: id, count: 7), .completed([(id, .stored), (id, .writeError)]), .storage(isShort: true),
        ]
    }

    /// 16 MB in reads of 1 kB: copied at each read, they would be 130 GB.
    @Test func aLargeEnvelopeArrivesInManyReads() throws {
        var envelope = Self.envelope
        envelope.recipients = (0..<8000).map {
            Recipient(address: Address(localPart: "r\($0)", domain: "d.example"), declaredOriginal: String(repeating: "x", count: 2000))
        }
        var wire = ByteBuffer()
        for _ in 0..<2 { HandOffFrame.begin(QueueID(rawValue: 1), envelope).encode(into: &wire) }
        var reader = FrameReader()
        var found: [Envelope] = []
        while let piece = wire.readSlice(length: min(1000, wire.readableBytes)), piece.readableBytes > 0 {
            try reader.feed(piece) { frame in if case .begin(_, let envelope) = frame { found.append(envelope) } }
        }
        #expect(found == [envelope, envelope])
    }

    @Test(arguments: frames) func aFrameSurvivesTheWireSplitAtEveryByte(_ frame: HandOffFrame) throws {
        var wire = ByteBuffer()
        frame.encode(into: &wire)
        for split in 0..<wire.readableBytes {
            var partial = try #require(wire.getSlice(at: 0, length: split))
            #expect(try HandOffFrame.decode(from: &partial) == nil)
        }
        let decoded = try #require(try HandOffFrame.decode(from: &wire))
        #expect("\(decoded)" == "\(frame)")
        #expect(wire.readableBytes == 0)
    }

    @Test func noBytesTrapTheReader() throws {
        var random = SystemRandomNumberGenerator()
        for frame in Self.frames {
            var wire = ByteBuffer()
            frame.encode(into: &wire)
            for _ in 0..<2000 {
                var mutated = wire
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    mutated.setInteger(
                        UInt8.random(in: 0...255, using: &random),
                        at: Int.random(in: 0..<wire.readableBytes, using: &random)
                    )
                }
                do { _ = try HandOffFrame.decode(from: &mutated) } catch {}
            }
        }
    }

    @Test func aFrameOfAbsurdLengthIsRefusedAtOnce() {
        var wire = ByteBuffer(integer: UInt32.max)
        #expect(throws: MalformedFrame.self) { try HandOffFrame.decode(from: &wire) }
    }

    @Test func aRecipientCountBeyondTheFrameIsRefused() {
        var wire = ByteBuffer()
        Envelope(sender: .null, recipients: []).encode(into: &wire)
        wire.setInteger(UInt32.max, at: wire.writerIndex - 4)
        #expect(throws: MalformedFrame.self) { try Envelope(from: &wire) }
    }
}
