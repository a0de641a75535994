import SMTPCore
import Testing

@testable import Submission

@Suite struct DuplicateFilterTests {
    static func recipient(_ text: String, original: String? = nil, notify: NotifyConditions = [], orcpt: String = "") -> Recipient {
        let at = text.firstIndex(of: "@").map { text[text.index(after: $0)...] }
        return Recipient(
            address: Address(localPart: String(text.prefix { $0 != "@" }), domain: at.map(String.init)),
            original: original.map { Address(localPart: $0, domain: "o.x") },
            notify: notify,
            declaredOriginal: orcpt
        )
    }

    @Test func theSameRecipientIsServedOnce() {
        var filter = DuplicateFilter(limit: 0)
        let recipients = [
            Self.recipient("a@x.x"), Self.recipient("A@X.x"), Self.recipient("a@x.x", original: "b"),
            Self.recipient("a@x.x", original: "B"),
            Self.recipient("a@x.x", notify: .never), Self.recipient("a@x.x", orcpt: "rfc822;q"), Self.recipient("a@x.x", orcpt: "RFC822;Q"),
        ]
        #expect(filter.unique(recipients) == [0, 2, 4, 5].map { recipients[$0] })
    }

    @Test func withoutOriginalsOnlyTheAddressCounts() {
        var filter = DuplicateFilter(limit: 0, withOriginal: false)
        let recipients = [
            Self.recipient("a@x.x", original: "b"), Self.recipient("A@X.x"), Self.recipient("a@x.x", notify: .never),
            Self.recipient("a@x.x", orcpt: "rfc822;q"), Self.recipient("c@x.x", original: "b"),
        ]
        #expect(filter.unique(recipients) == [0, 4].map { recipients[$0] })
    }

    /// As seen from Postfix with `duplicate_filter_limit = 1`.
    @Test func whatIsBeyondTheLimitIsNotRemembered() {
        var filter = DuplicateFilter(limit: 1)
        let recipients = ["a@x.x", "b@x.x", "a@x.x", "b@x.x"].map { Self.recipient($0) }
        #expect(filter.unique(recipients).map(\.address.localPart) == ["a", "b", "b"])
    }
}
