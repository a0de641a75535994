import SMTPCore
import Settings
import Tables
import Testing

@testable import Routing

/// Sound cases go through Postfix and through us in Tests/Acceptance/test_rewriting.py; here is what their results cannot show.
@Suite struct AddressMapsTests {
    static func make(_ main: [String: String]) throws -> (AddressMaps, AddressRouter) {
        let settings = ServiceSettings.testing(["myhostname": "mx.test.example", "myorigin": "o.x"].merging(main) { $1 })
        let registry = TableRegistry()
        let router = try AddressRouter(settings: settings, tables: registry, ownAddresses: [])
        return (try AddressMaps(settings, tables: registry), router)
    }

    static func address(_ text: String) throws -> Address { try #require(AddressList.parse(text.utf8)?.mailboxes.first).address }

    static func expand(_ text: String, _ main: [String: String]) async throws -> (AddressMaps.Expansion, [String]) {
        let (maps, router) = try make(main)
        var warnings: [String] = []
        return (try await maps.expand(address(text), router, warnings: &warnings), warnings)
    }

    @Test(arguments: [
        ("v@x.x", ["a@o.x", "b@b.b", "v@x.x"]), ("V@X.X", ["a@o.x", "b@b.b", "v@x.x"]), ("n@x.x", ["n@x.x"]), ("d@dom.x", ["d@else.x"]),
        ("deep@x.x", ["a@o.x", "b@b.b", "v@x.x"]),
    ])
    func aliases(_ given: String, _ expected: [String]) async throws {
        let table = "inline:{ { v@x.x = a, b@b.b, v@x.x } { @dom.x = @else.x } { deep@x.x = v@x.x } }"
        let (expansion, warnings) = try await Self.expand(given, ["virtual_alias_maps": table])
        #expect(expansion.recipients.map(\.description) == expected)
        #expect(warnings.isEmpty && expansion.copies.isEmpty)
    }

    @Test(arguments: [
        ("l@x.x", "unreasonable virtual_alias_maps map nesting for l@x.x -- message not accepted, try again later"),
        ("big@x.x", "unreasonable virtual_alias_maps map expansion size for big@x.x -- message not accepted, try again later"),
        ("long@x.x", "unreasonable virtual_alias_maps result abcdefghijklmn@x.xxxx... -- message not accepted, try again later"),
    ])
    func aliasesWithoutEnd(_ given: String, _ text: String) async throws {
        let table = "inline:{ { l@x.x = m@x.x } { m@x.x = l@x.x } { big@x.x = a b c d } { long@x.x = abcdefghijklmn@x.xxxx } }"
        let main = ["virtual_alias_maps": table, "virtual_alias_expansion_limit": "3", "virtual_alias_address_length_limit": "10"]
        await #expect(throws: AddressMapFailure(kind: .expansion, text: text)) { try await Self.expand(given, main) }
    }

    @Test func whatIsNoAddressGoesNowhere() async throws {
        for value in ["garbage <<", "(only a comment)", "a@\"x y\""] {
            let main = ["canonical_maps": "inline:{ { r@x.x = \(value) } }"]
            let text = "canonical_maps entry for r@x.x is no list of addresses -- message not accepted, try again later"
            await #expect(throws: AddressMapFailure(kind: .lookup, text: text), "\(value)") { try await Self.expand("r@x.x", main) }
        }
    }

    @Test func canonicalMappingEnds() async throws {
        let (expansion, warnings) = try await Self.expand(
            "a@x.x",
            ["canonical_maps": "inline:{ { a@x.x = b@x.x, c@x.x } { b@x.x = a@x.x } }"]
        )
        #expect(expansion.recipients.map(\.description) == ["a@x.x"])
        #expect(warnings.filter { $0 == "multi-valued canonical_maps entry for a@x.x" }.count == 5)
        #expect(warnings.last == "unreasonable canonical_maps map nesting for a@x.x")
    }

    @Test func blindCopies() async throws {
        let (maps, router) = try Self.make([
            "always_bcc": "all", "sender_bcc_maps": "static:s@x.x", "virtual_alias_maps": "inline:{ { s@x.x = t@x.x } }",
        ])
        var warnings: [String] = []
        let copies = try await maps.copies(ofMailFrom: Self.address("q@r.s"), router, warnings: &warnings)
        #expect(copies.map(\.address.description) == ["all@o.x", "t@x.x"])
        #expect(copies.map { $0.original?.description } == [nil, "s@x.x"])
        #expect(copies.allSatisfy { $0.notify == .never })
        #expect(try await maps.copies(ofMailFrom: .null, router, warnings: &warnings).map(\.address.description) == ["all@o.x"])
    }

    @Test(arguments: [
        ["always_bcc": "a@b.c, d@e.f"], ["always_bcc": "<<"], ["canonical_classes": "envelope_sender, nonsense"],
        ["masquerade_exceptions": "texthash:/x"], ["masquerade_exceptions": "/x"], ["masquerade_domains": "static:x"],
    ])
    func whatMeansNothingStopsTheStart(_ main: [String: String]) {
        #expect(throws: ConfigurationError.self) { try Self.make(main) }
    }
}
