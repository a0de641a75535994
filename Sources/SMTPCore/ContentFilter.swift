/// Where a message's content is to be looked at: `transport:nexthop` of `content_filter` and of the action FILTER (access(5)). All its
/// recipients go there, whatever their domains are.
package struct ContentFilter: Sendable, Hashable, CustomStringConvertible {
    /// A service of master.cf.
    package var transport: String
    /// Empty: `default_filter_nexthop`, else the recipient's domain.
    package var nextHop: String

    package init(transport: String, nextHop: String) {
        self.transport = transport
        self.nextHop = nextHop
    }

    /// Reads `transport:nexthop`, up to the first blank; nil where there is no colon or no transport.
    package init?(_ text: some StringProtocol) {
        let word = text.prefix { !$0.isWhitespace }
        guard let colon = word.firstIndex(of: ":"), colon > word.startIndex else { return nil }
        transport = String(word[..<colon])
        nextHop = String(word[word.index(after: colon)...])
    }

    package var description: String { "\(transport):\(nextHop)" }
}
