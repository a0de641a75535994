import NIOCore
package import SMTPCore

/// A header whose addresses may be rewritten, complete with its continuation lines.
package struct AddressHeader: Sendable {
    /// What `canonical_classes` and `masquerade_classes` call `header_sender` and `header_recipient`.
    package enum Side: Sendable, Hashable {
        case sender, recipient
    }

    package let side: Side
    /// `Name: value`, line ends included.
    let text: ByteBuffer

    /// The addresses; nil where there is nothing that could be rewritten.
    /// - Parameter tokenLimit: `header_address_token_limit`.
    package func addresses(tokenLimit: Int) -> AddressList? {
        let view = text.readableBytesView
        guard let colon = view.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        guard let list = AddressList.parse(view[(colon + 1)...], tokenLimit: tokenLimit), !list.mailboxes.isEmpty else { return nil }
        return list
    }

    /// The name as the client wrote it.
    var name: ByteBufferView {
        let view = text.readableBytesView
        return view[..<(view.firstIndex(of: UInt8(ascii: ":")) ?? view.endIndex)]
    }
}
