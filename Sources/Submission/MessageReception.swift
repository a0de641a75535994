import Cleanup
import HandOff
import NIOCore
import Routing

/// The content of one message on its way from the client to the queue: decoded, its headers filtered, handed on in pieces.
///
/// Memory is bounded: what has been decoded leaves as soon as ``pieceSize`` bytes have come together, and a client is read no faster than
/// the hand-off takes it.
final class MessageReception {
    /// nil when nothing is to be kept (DISCARD).
    let transfer: (any MessageTransfer)?
    private let sizeLimit: Int
    private var decoder: DataDecoder
    private var filter: HeaderFilter
    private let rewriting: HeaderRewriting?
    /// Decoded lines that the header filter has not passed yet.
    private var lines = ByteBuffer()
    private var content = ByteBuffer()
    /// Bytes of decoded content, without what we put on top.
    private(set) var size = 0
    private var topSize = 0
    /// The hand-off has failed; the rest is read and dropped.
    private(set) var failure: HandOffFailure?

    /// What the log is to say about the headers' addresses.
    private(set) var warnings: [String] = []
    private static let warningLimit = 16

    private let memory: BodyMemory
    /// What this message takes of ``memory``.
    private var accounted = 0

    private static let pieceSize = 64 * 1024
    private static let discardLimit = 16 * 1024

    /// - Parameter sizeLimit: `message_size_limit`, 0 for none.
    init(
        decoder: DataDecoder,
        filter: HeaderFilter,
        rewriting: HeaderRewriting? = nil,
        transfer: (any MessageTransfer)?,
        sizeLimit: Int,
        memory: BodyMemory
    ) {
        self.memory = memory
        self.rewriting = rewriting
        self.decoder = decoder
        self.filter = filter
        self.transfer = transfer
        self.sizeLimit = sizeLimit
    }

    /// Bytes of ``size`` but for a last line that has not ended yet.
    var sizeOfLines: Int { size - decoder.unfinishedLength }
    var isTooLarge: Bool { sizeLimit > 0 && size + topSize > sizeLimit }
    /// Too large whatever the line in progress comes to.
    var isTooLargeByLines: Bool { sizeLimit > 0 && sizeOfLines + topSize > sizeLimit }
    var sawBareLineFeed: Bool { decoder.sawBareLineFeed }
    var exceedsHopLimit: Bool { filter.exceedsHopLimit }
    var messageIDs: [(isResent: Bool, value: String)] { filter.messageIDs }

    /// Headers above the client's own; they count against the size limit, not as content.
    func writeTop(_ write: (inout ByteBuffer) -> Void) {
        let before = content.readableBytes
        write(&content)
        topSize += content.readableBytes - before
    }

    /// Decodes what has arrived of DATA. Returns true at the end of data.
    func take(_ input: inout ByteBuffer) async -> Bool {
        let isEnd = await decode(&input)
        await passOn(&input)
        return isEnd
    }

    /// Decodes what has arrived of a chunk, at most `limit` bytes, and returns their number.
    func takeChunk(_ input: inout ByteBuffer, atMost limit: Int) async -> Int {
        let count = min(limit, input.readableBytes)
        if var piece = input.readSlice(length: count) { _ = await decode(&piece) }
        await passOn(&input)
        return count
    }

    private func decode(_ input: inout ByteBuffer) async -> Bool {
        let before = lines.readableBytes + content.readableBytes
        let isEnd: Bool
        if filter.isInBody {
            isEnd = decoder.decode(&input, into: &content)
            size += content.readableBytes - before
        } else {
            let waiting = lines.readableBytes
            isEnd = decoder.decode(&input, into: &lines)
            size += lines.readableBytes - waiting
            await filterLines()
            // A header block without end that is always cut within a line would otherwise stay here whole, whatever the size limit says.
            if lines.readableBytes == 0 { lines.clear() } else if lines.readerIndex >= Self.discardLimit { lines.discardReadBytes() }
        }
        return isEnd
    }

    private func filterLines() async {
        filter.consume(&lines, into: &content)
        while let header = filter.waitingHeader {
            await rewrite(header)
            filter.consume(&lines, into: &content)
        }
    }

    /// Hands on what is worth a write, or drops it where it cannot be kept.
    private func passOn(_ input: inout ByteBuffer) async {
        if isTooLarge || failure != nil || transfer == nil {
            content.clear()
        } else if content.readableBytes >= Self.pieceSize {
            await handOver()
        }
        account(input.storageCapacity)
        if memory.isFull { await relieve(&input) }
    }

    deinit { memory.change(by: -accounted) }

    /// What is allocated counts, not what of it is filled.
    private func account(_ input: Int) {
        let held = input + lines.storageCapacity + content.storageCapacity + (transfer?.heldBytes ?? 0)
        guard held != accounted else { return }
        memory.change(by: held - accounted)
        accounted = held
    }

    /// The process holds too much: this message's content leaves now, in however small a piece.
    @inline(never)
    private func relieve(_ input: inout ByteBuffer) async {
        if lines.readableBytes == 0 { lines = ByteBuffer() }
        if input.readableBytes == 0 { input = ByteBuffer() }
        if failure == nil, !isTooLarge, let transfer {
            if content.readableBytes > 0 { await handOver() }
            do throws(HandOffFailure) { try await transfer.relieve() } catch { failure = error }
        }
        account(input.storageCapacity)
    }

    /// Ends the last line of counted content, completes the header block if the message ended in it, and hands over the rest.
    func finish() async {
        let before = lines.readableBytes + content.readableBytes
        if filter.isInBody {
            decoder.finish(into: &content)
        } else {
            decoder.finish(into: &lines)
        }
        size += lines.readableBytes + content.readableBytes - before
        await filterLines()
        filter.finish(into: &content)
        while let header = filter.waitingHeader {
            await rewrite(header)
            filter.finish(into: &content)
        }
        if !isTooLarge, content.readableBytes > 0 { await handOver() }
    }

    private func rewrite(_ header: AddressHeader) async {
        guard let rewriting, failure == nil else { return filter.resume(with: nil, into: &content) }
        guard rewriting.asksTables(for: header) else { return filter.resume(with: rewriting.rewritten(header), into: &content) }
        do throws(AddressMapFailure) {
            var found: [String] = []
            filter.resume(with: try await rewriting.mapped(header, warnings: &found), into: &content)
            // A message has room for a million addresses, and the log is what other lines are read in.
            warnings += found.prefix(Self.warningLimit - warnings.count)
        } catch {
            failure = .unavailable(error.text)
            filter.resume(with: nil, into: &content)
        }
    }

    func abort() { transfer?.abort() }

    private func handOver() async {
        guard failure == nil, let transfer else { return }
        let piece = content
        content = ByteBuffer()
        do throws(HandOffFailure) { try await transfer.write(piece) } catch { failure = error }
    }
}
