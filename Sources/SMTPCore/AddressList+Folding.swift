extension AddressList {
    /// A line is broken after a comma where the next address would take it beyond this.
    private static let longestLine = 69

    /// The header field `name: ...` with the addresses as they are now, without the last line end.
    package func folded(name: some Sequence<UInt8>) -> [UInt8] {
        var out = Array(name) + [UInt8(ascii: ":")]
        var length = out.count
        for (index, item) in items.enumerated() {
            if index > 0, length + 1 + item.count > Self.longestLine {
                out += "\r\n\t".utf8
                length = 0
            } else {
                out.append(UInt8(ascii: " "))
                length += 1
            }
            out += item
            length += item.count
        }
        return out
    }

    /// The text between line breaks; each but the last ends with its comma.
    private var items: [[UInt8]] {
        var items: [[UInt8]] = []
        var item: [UInt8] = []
        var previous: Element?
        for element in elements {
            if needsComma(between: previous, and: element) {
                items.append(item + [UInt8(ascii: ",")])
                item = []
            } else if Self.needsSpace(between: previous, and: element), !item.isEmpty {
                item.append(UInt8(ascii: " "))
            }
            if element == .comma {
                items.append(item + [UInt8(ascii: ",")])
                item = []
            } else {
                item += text(of: element)
            }
            previous = element
        }
        return items + [item]
    }

    /// Addresses that follow each other without any separator become a list.
    private func needsComma(between previous: Element?, and next: Element) -> Bool {
        switch next {
        case .bare, .verbatim(_, isBracketed: false): break
        default: return false
        }
        switch previous {
        case nil, .comma, .colon: return false
        default: return true
        }
    }

    private static func needsSpace(between previous: Element?, and next: Element) -> Bool {
        switch (previous, next) {
        case (.colon, _): true
        case (_, .comma), (_, .semicolon), (_, .colon), (_, .joint), (.joint, _), (.semicolon, .word): false
        case (_, .bracketed), (_, .verbatim(_, isBracketed: true)): true
        case (.bracketed, .word), (.verbatim(_, isBracketed: true), .word): false
        default: true
        }
    }

    private func text(of element: Element) -> [UInt8] {
        switch element {
        case .word(let text), .verbatim(let text, isBracketed: false): text
        case .verbatim(let text, isBracketed: true): [UInt8(ascii: "<")] + text + [UInt8(ascii: ">")]
        case .joint(let byte): [byte]
        case .comma: [UInt8(ascii: ",")]
        case .semicolon: [UInt8(ascii: ";")]
        case .colon: [UInt8(ascii: ":")]
        case .bare(let index): Array(mailboxes[index].address.description.utf8)
        case .bracketed(let index, let comments):
            comments.reduce(into: [UInt8(ascii: "<")] + Array(mailboxes[index].address.description.utf8)) { $0 += [0x20] + $1 } + [
                UInt8(ascii: ">")
            ]
        }
    }
}
