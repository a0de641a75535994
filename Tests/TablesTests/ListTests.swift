import SMTPCore
import Settings
import Testing

@testable import Tables

struct ListTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.1.1.1", "", ListMatch.yes),
        ("10.0.0.0/8", "11.1.1.1", "", .no),
        ("!10.9.0.0/16, 10.0.0.0/8", "10.9.1.1", "", .no),
        ("10.0.0.0/8, !10.9.0.0/16", "10.9.1.1", "", .yes),
        ("[::1]/128 [2001:db8::]/32", "2001:db8::5", "", .yes),
        ("2001:db8::/32", "2001:db8::5", "", .yes),
        ("[::ffff:127.0.0.0]/104", "127.0.0.1", "", .no),
        ("192.0.2.1", "192.0.2.1", "", .yes),
        ("friend.example", "192.0.2.1", "mail.FRIEND.example", .yes),
        ("friend.example", "192.0.2.1", "notfriend.example", .no),
        ("cidr:{{192.0.2.0/24 x}}", "192.0.2.1", "host.example", .yes),
        ("inline:{192.0.2.1=x}", "192.0.2.1", "host.example", .yes),
        ("inline:{example=x}", "192.0.2.1", "host.example", .yes),
        ("!inline:{192.0.2.1=x}, static:all", "192.0.2.1", "", .no),
        ("static:all", "192.0.2.1", "", .yes),
        ("fail:x", "192.0.2.1", "h", .failed("fail:x lookup error")),
        ("", "192.0.2.1", "h", .no),
    ])
    func networks(_ list: String, _ address: String, _ name: String, _ expected: ListMatch) async throws {
        let networks = try NetworkList(list, tables: TableRegistry())
        #expect(await networks.contains(try #require(IPAddress(address)), name: name) == expected)
    }

    @Test(arguments: ["10.0.0.1/8", "10.0.0.0/33", "300.1.1.1", "[::1]/129", "10.0.0.0/", "!", "nonsense:x", "{ a"])
    func badNetworks(_ list: String) {
        #expect(throws: ConfigurationError.self) { try NetworkList(list, tables: TableRegistry()) }
    }

    @Test(arguments: [
        ("example.com", DomainList.Matching.exact, "EXAMPLE.com", ListMatch.yes),
        ("example.com", .exact, "sub.example.com", .no),
        ("example.com", .subdomains, "sub.example.com", .yes),
        ("example.com", .subdomains, "subexample.com", .no),
        ("example.com", .dotted, "sub.example.com", .no),
        (".example.com", .dotted, "a.sub.example.com", .yes),
        (".example.com", .dotted, "example.com", .no),
        ("!bad.example.com, example.com", .subdomains, "bad.example.com", .no),
        ("!bad.example.com, example.com", .subdomains, "good.example.com", .yes),
        ("inline:{example.com=x}", .exact, "sub.example.com", .no),
        ("inline:{example.com=x}", .subdomains, "sub.example.com", .yes),
        ("inline:{.example.com=x}", .dotted, "sub.example.com", .yes),
        ("regexp:{{/^com$/ x}}", .subdomains, "sub.com", .no),
        ("fail:x", .exact, "a", .failed("fail:x lookup error")),
    ])
    func domains(_ list: String, _ matching: DomainList.Matching, _ domain: String, _ expected: ListMatch) async throws {
        #expect(try await DomainList(list, matching: matching, tables: TableRegistry()).contains(domain) == expected)
    }

    @Test func files() async throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("domains", "# ours\nexample.com\n  !bad.example.org example.org\n")
        let list = try DomainList("\(path) other.example", matching: .exact, tables: TableRegistry())
        #expect(await list.contains("example.com") == .yes)
        #expect(await list.contains("example.org") == .yes)
        #expect(await list.contains("bad.example.org") == .no)
        #expect(await list.contains("other.example") == .yes)
        #expect(list.watchedFiles == [path])
        let negated = try DomainList("!\(path) static:x", matching: .exact, tables: TableRegistry())
        #expect(await negated.contains("example.com") == .no)
        #expect(await negated.contains("x.example") == .yes)
    }

    @Test func filesThatIncludeThemselves() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("loop", "\(directory.path)/loop")
        #expect(throws: ConfigurationError.self) { try DomainList(path, matching: .exact, tables: TableRegistry()) }
    }
}
