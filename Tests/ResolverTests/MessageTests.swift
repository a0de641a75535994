import SMTPCore
import Testing

@testable import Resolver

@Suite struct MessageTests {
    private static let question = DNSQuestion(name: DomainName("mail.example")!, type: .a)

    private static func decoded(_ response: Response) throws -> DNSMessage { try DNSMessage(response.bytes) }

    @Test func queryOnTheWire() {
        let query = DNSQuery(id: 0x1234, question: DNSQuestion(name: DomainName("a.b")!, type: .mx))
        #expect(
            query.bytes == [
                0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0x61, 1, 0x62, 0, 0, 15, 0, 1, 0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0,
            ]
        )
        var plain = query
        plain.usesEDNS = false
        #expect(plain.bytes.count == query.bytes.count - 11)
    }

    @Test func compressedNamesAndAllTypes() throws {
        // example. MX 10 mail.example., with the host as label + pointer to the question's name.
        var bytes: [UInt8] = [0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 7]
        bytes += Array("Example".utf8) + [0, 0, 15, 0, 1]
        bytes += [0xC0, 12, 0, 15, 0, 1, 0, 0, 1, 0, 0, 9, 0, 10, 4]
        bytes += Array("mail".utf8) + [0xC0, 12]
        let message = try DNSMessage(bytes)
        #expect(message.question == DNSQuestion(name: DomainName("example")!, type: .mx))
        #expect(message.answers.map(\.data) == [.mailExchanger(preference: 10, host: DomainName("mail.example")!)])
        #expect(message.answers.first?.timeToLive == 256)

        let question = DNSQuestion(name: DomainName("x")!, type: .txt)
        let many = try DNSMessage(
            Response(
                id: 7,
                question: question,
                answers: [.a("x", "192.0.2.1"), .aaaa("x", "2001:db8::1"), .txt("x", ["ab", "", "c"]), .ptr("x", "y.z")],
                authorities: [.soa("x", minimum: 77)]
            ).bytes
        )
        #expect(
            many.answers.map(\.data) == [
                .address(.v4(0xC000_0201)), .address(.v6(high: 0x2001_0DB8_0000_0000, low: 1)), .text(Array("abc".utf8)),
                .name(DomainName("y.z")!),
            ]
        )
        #expect(many.authorities.map(\.data) == [.startOfAuthority(minimum: 77)])
    }

    /// Labels of the greatest length.
    private static func labels(_ count: Int) -> [UInt8] { (0..<count).flatMap { _ in [63] + [UInt8](repeating: 0x61, count: 63) } }

    /// The second answer's name is a chain of pointers that lie in the first one's data and lead, one to the other, to the root.
    private static func pointerChain(_ count: Int) -> [UInt8] {
        let length = 2 * (count + 1)
        var bytes: [UInt8] = [0, 1, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 1]
        bytes += [0, 0, 99, 0, 1, 0, 0, 0, 1, UInt8(length >> 8), UInt8(length & 0xFF), 0xC0, 12]
        for target in stride(from: 28, to: 28 + 2 * count, by: 2) { bytes += [0xC0 | UInt8(target >> 8), UInt8(target & 0xFF)] }
        let last = 28 + 2 * count
        bytes += [0xC0 | UInt8(last >> 8), UInt8(last & 0xFF), 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1]
        return bytes
    }

    @Test func aShortPointerChainIsFollowed() throws {
        #expect(try DNSMessage(Self.pointerChain(100)).answers.last?.data == .address(.v4(0xC000_0201)))
    }

    /// Header with one question and the given bytes as its name.
    private static func withName(_ name: [UInt8]) -> [UInt8] { [0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0] + name + [0, 1, 0, 1] }

    @Test(arguments: [
        ("pointer to itself", withName([0xC0, 12])),
        ("pointer forwards", withName([0xC0, 14, 1, 0x61, 0])),
        ("two pointers at each other", withName([0xC0, 14, 0xC0, 12])),
        ("label then pointer to the label", withName([1, 0x61, 0xC0, 12])),
        ("pointer beyond the end", withName([0xFF, 0xFF])),
        ("reserved label type", withName([0x40, 0])),
        ("label past the end", withName([63, 0x61])),
        ("too long", withName(labels(4) + [0])),
        ("pointers to pointers", pointerChain(200)),
        ("empty", []),
        ("header only, cut", [0, 1, 0x81]),
        ("more questions than one", [0, 1, 0x81, 0x80, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0]),
        ("answers announced, none there", [0, 1, 0x81, 0x80, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0]),
        ("A record of three bytes", [0, 1, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 3, 1, 2, 3]),
        ("A record of five bytes", [0, 1, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4, 5]),
        ("TXT string past its record", [0, 1, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 16, 0, 1, 0, 0, 0, 0, 0, 2, 5, 2, 3, 4, 5, 6]),
        ("data length past the end", [0, 1, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0xFF, 0xFF, 1, 2, 3, 4]),
    ])
    func refusesHostileMessages(what: String, bytes: [UInt8]) {
        #expect(throws: DNSFormatError.self, "\(what)") { try DNSMessage(bytes) }
    }

    @Test func aLongestNamePasses() throws {
        let name = Self.labels(3) + [61] + [UInt8](repeating: 0x62, count: 61) + [0]
        #expect(name.count == 255)
        #expect(try DNSMessage(Self.withName(name)).question?.name.wire == name)
    }

    @Test func everyPrefixOfAMessageIsRefusedAndNothingTraps() throws {
        let whole = Response(
            id: 9,
            question: Self.question,
            answers: [
                .cname("mail.example", "m.example"), .a("m.example", "192.0.2.1"), .txt("m.example", ["abc"]), .mx("m.example", 5, "x.y"),
            ],
            authorities: [.soa("example", minimum: 5)]
        ).bytes
        _ = try DNSMessage(whole)
        for length in 0..<whole.count {
            let prefix = Array(whole[..<length])
            #expect(throws: DNSFormatError.self) { try DNSMessage(prefix) }
        }
    }

    @Test func randomAndMutatedMessagesNeverTrap() {
        var generator = SplitMix(state: 0x5EED)
        let whole = Response(
            id: 9,
            question: Self.question,
            answers: [
                .cname("mail.example", "m.example"), .a("m.example", "192.0.2.1"), .mx("m.example", 5, "x.y"), .txt("q", ["abc", "d"]),
            ],
            authorities: [.soa("example", minimum: 5)]
        ).bytes
        var decoded = 0
        for round in 0..<20_000 {
            var bytes: [UInt8]
            if round % 2 == 0 {
                bytes = whole
                for _ in 0..<Int.random(in: 1...6, using: &generator) {
                    bytes[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
                }
            } else {
                bytes = (0..<Int.random(in: 0...200, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            }
            guard let message = try? DNSMessage(bytes) else { continue }
            decoded += 1
            if let question = message.question {
                _ = message.verdict(for: question)
                _ = question.name.description
            }
            for record in message.answers + message.authorities {
                #expect(record.name.wire.count <= 255)
                _ = record.name.description
            }
        }
        #expect(decoded > 1_000)
    }

    /// Deterministic, so that a failure can be repeated.
    private struct SplitMix: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    @Test func belongsToTheQuery() throws {
        let query = DNSQuery(id: 5, question: Self.question)
        let other = DNSQuestion(name: DomainName("evil.example")!, type: .a)
        #expect(query.isAnswered(by: try Self.decoded(Response(id: 5, question: Self.question))))
        #expect(!query.isAnswered(by: try Self.decoded(Response(id: 6, question: Self.question))))
        #expect(!query.isAnswered(by: try Self.decoded(Response(id: 5, question: other))))
        #expect(!query.isAnswered(by: try Self.decoded(Response(id: 5, question: Self.question, flags: 0x0180))))
        #expect(!query.isAnswered(by: try Self.decoded(Response(id: 5, question: nil))))
        #expect(!query.isAnswered(by: try Self.decoded(Response(id: 5, question: nil, flags: 0x8183))))
        #expect(query.isAnswered(by: try Self.decoded(Response(id: 5, question: nil, flags: 0x8181))))
    }

    @Test func verdicts() throws {
        func verdict(_ flags: UInt16 = 0x8180, _ answers: [Response.Record] = [], _ authorities: [Response.Record] = []) throws
            -> DNSVerdict
        {
            try Self.decoded(Response(id: 1, question: Self.question, flags: flags, answers: answers, authorities: authorities))
                .verdict(for: Self.question)
        }
        let ns = Response.Record(name: "example", type: RecordType(rawValue: 2), data: DomainName("ns.example")!.wire)
        let address = RecordData.address(.v4(0xC000_0201))
        #expect(try verdict(0x8180, [.a("mail.example", "192.0.2.1", timeToLive: 60)]) == .final(.records([address]), timeToLive: 60))
        #expect(
            try verdict(0x8180, [.a("b.example", "192.0.2.1", timeToLive: 90), .cname("MAIL.example", "b.example")])
                == .final(.records([address]), timeToLive: 90)
        )
        // Records of another owner are not ours.
        #expect(try verdict(0x8180, [.a("evil.example", "192.0.2.1")]) == .final(.noData, timeToLive: nil))
        #expect(try verdict(0x8180, [.cname("mail.example", "b.example")]) == .alias(DomainName("b.example")!, timeToLive: 300))
        #expect(try verdict(0x8180, [.cname("mail.example", "b.example")], [.soa("example", minimum: 9)]) == .final(.noData, timeToLive: 9))
        #expect(
            try verdict(0x8180, [.cname("mail.example", "b.example"), .cname("b.example", "mail.example")]) == .unusable("too many aliases")
        )
        #expect(try verdict(0x8183, [], [.soa("example", minimum: 9)]) == .final(.noSuchDomain, timeToLive: 9))
        #expect(try verdict(0x8183) == .final(.noSuchDomain, timeToLive: nil))
        #expect(try verdict(0x8000, [], [ns]) == .unusable("lame referral"))
        #expect(try verdict(0x8182) == .unusable("SERVFAIL"))
        #expect(try verdict(0x8185) == .unusable("REFUSED"))
        #expect(try verdict(0x8181) == .withoutEDNS)
        let negativeTTL = Response.Record.a("mail.example", "192.0.2.1", timeToLive: 0x8000_0001)
        #expect(try verdict(0x8180, [negativeTTL]) == .final(.records([address]), timeToLive: 0))
    }
}
