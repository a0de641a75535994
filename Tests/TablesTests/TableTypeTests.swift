import Foundation
import Settings
import Testing

@testable import Tables

/// A directory for one test's files, gone when the test is.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "postern-tables-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws -> String {
        try text.write(toFile: "\(path)/\(name)", atomically: true, encoding: .utf8)
        return "\(path)/\(name)"
    }
}

func open(_ spec: String) throws -> any LookupTable { try TableRegistry().open(spec) }

func problems(_ spec: String) -> [String] {
    do {
        _ = try TableRegistry().open(spec)
        return []
    } catch { return error.diagnostics.map(\.description) }
}

struct TableTypeTests {
    @Test(arguments: [
        ("inline:{a=1, {b = two words}}", "a", LookupResult.found("1")),
        ("inline:{a=1, {b = two words}}", "B", .found("two words")),
        ("inline:{a=1}", "c", .notFound),
        ("inline:{{k=a=b}}", "k", .found("a=b")),
        ("inline:{a=1 A=2}", "a", .found("2")),
        ("inline:{{Ünï=x}}", "üNÏ", .found("x")),
        ("static:DUNNO", "anything", .found("DUNNO")),
        ("static:{450 not now}", "", .found("450 not now")),
        ("proxy:inline:{a=1}", "a", .found("1")),
        ("unionmap:{inline:{a=1},inline:{a=2}}", "a", .found("1,2")),
        ("unionmap:{inline:{a=1},inline:{b=2}}", "b", .found("2")),
        ("unionmap:{inline:{a=1},inline:{b=2}}", "c", .notFound),
        ("pipemap:{inline:{a=b},inline:{b=c}}", "a", .found("c")),
        ("pipemap:{inline:{a=b},inline:{x=c}}", "a", .notFound),
        ("fail:x", "a", .failed("fail:x lookup error")),
        ("unionmap:{inline:{a=1},fail:x}", "a", .failed("fail:x lookup error")),
        ("cidr:{{192.0.2.0/24 net}, {192.0.0.0/16 big}}", "192.0.2.7", .found("net")),
        ("cidr:{{192.0.2.0/24 net}, {192.0.0.0/16 big}}", "192.0.3.7", .found("big")),
        ("cidr:{{192.0.2.0/24 net}}", "host.example", .notFound),
        ("cidr:{{!192.0.2.0/24 out}}", "198.51.100.1", .found("out")),
        ("cidr:{{!192.0.2.0/24 out}}", "192.0.2.1", .notFound),
        ("cidr:{{if 10.0.0.0/8}, {10.1.0.0/16 in}, {endif}, {10.0.0.0/8 after}}", "10.1.2.3", .found("in")),
        ("cidr:{{if 10.0.0.0/8}, {0.0.0.0/0 in}, {endif}, {0.0.0.0/0 after}}", "11.1.2.3", .found("after")),
        ("cidr:{{if !10.0.0.0/8}, {if 11.0.0.0/8}, {0.0.0.0/0 eleven}, {endif}, {0.0.0.0/0 else}, {endif}}", "11.1.2.3", .found("eleven")),
        ("cidr:{{if !10.0.0.0/8}, {if 11.0.0.0/8}, {0.0.0.0/0 eleven}, {endif}, {0.0.0.0/0 else}, {endif}}", "12.1.2.3", .found("else")),
        ("cidr:{{if !10.0.0.0/8}, {if 11.0.0.0/8}, {0.0.0.0/0 eleven}, {endif}, {0.0.0.0/0 else}, {endif}}", "10.1.2.3", .notFound),
        ("cidr:{{2001:db8::/32 six}, {::/0 other}}", "2001:db8:1::1", .found("six")),
        ("cidr:{{2001:db8::/32 six}, {::/0 other}}", "2001:db9::1", .found("other")),
        ("cidr:{{::/0 other}}", "192.0.2.1", .notFound),
        ("regexp:{{/^(.*)@(.*)$/ $2:${1}$(1)$$}}", "a@b", .found("b:aa$")),
        ("regexp:{{/AbC/ yes}}", "xabcx", .found("yes")),
        ("regexp:{{/AbC/i yes}}", "xabcx", .notFound),
        ("regexp:{{!/@/ bare}}", "user", .found("bare")),
        ("regexp:{{!/@/ bare}}", "user@x", .notFound),
        ("regexp:{{|a/b| slash}}", "a/b", .found("slash")),
        ("regexp:{{if /@/}, {/^a/ a-address}, {endif}, {/^a/ a-word}}", "a@b", .found("a-address")),
        ("regexp:{{if /@/}, {/^a/ a-address}, {endif}, {/^a/ a-word}}", "ab", .found("a-word")),
    ])
    func answers(_ spec: String, _ key: String, _ expected: LookupResult) async throws {
        #expect(try await open(spec).lookup(key) == expected)
    }

    @Test(arguments: [
        ("nothing", "\"nothing\" is not a lookup table, expecting type:name"),
        ("nonsense:x", "unsupported dictionary type: nonsense"),
        ("pcre:/nowhere", "pcre:/nowhere: table type pcre is not built in (build with the PCRE trait)"),
        ("ldap:/nowhere", "ldap:/nowhere: table type ldap is not built in (build with the LDAP trait)"),
        ("tcp:localhost:1", "tcp:localhost:1: table type tcp is not implemented yet"),
        ("inline:{a}", "missing '=' after attribute name in \"inline:{a}\": \"a\""),
        ("inline:{{a b=c}}", "missing '=' after attribute name in \"inline:{{a b=c}}\": \"a b=c\""),
        ("inline:a=b", "bad syntax in \"inline:a=b\", expecting inline:{name=value...}"),
        ("inline:{}", "empty table \"inline:{}\", expecting inline:{name=value...}"),
        ("unix:shadow", "unknown map \"unix:shadow\", expecting unix:passwd.byname or unix:group.byname"),
        ("pipemap:inline", "bad syntax in \"pipemap:inline\", expecting {type:name...}"),
        ("texthash:/nowhere/at/all", "open /nowhere/at/all: No such file or directory"),
    ])
    func refuses(_ spec: String, _ message: String) {
        #expect(problems(spec) == [message])
    }

    @Test(arguments: [
        ("cidr:{{192.0.2.1/24 x}}", "perhaps you should use \"192.0.2.0/24\" instead"),
        ("cidr:{{host x}}", "bad net/mask pattern: \"host\""),
        ("cidr:{{192.0.2.0/24}}", "no value after pattern"),
        ("cidr:{{if 10.0.0.0/8}}", "if without endif"),
        ("cidr:{{endif}}", "endif without if"),
        ("regexp:{{/a(/ x}}", "error in regexp \"a(\""),
        ("regexp:{{/abc x}}", "no closing regexp delimiter"),
        ("regexp:{{/a/q x}}", "unknown regexp option \"q\""),
        ("regexp:{{/a/ see $server_name}}", "non-numeric replacement index \"server_name\""),
        ("regexp:{{abc x}}", "expecting /pattern/"),
    ])
    func refusesPattern(_ spec: String, _ part: String) throws {
        #expect(try #require(problems(spec).first).contains(part))
    }

    @Test func textFile() async throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(
            "access",
            """
            # comment
            One.Example   REJECT  no

            two.example
                450 4.7.1
            # between
            \tlater
            "with space" OK
            empty
            one.example second
            alias: value
            """
        )
        let registry = TableRegistry()
        let table = try registry.open("texthash:\(path)")
        #expect(await table.lookup("ONE.example") == .found("REJECT  no"))
        #expect(await table.lookup("two.example") == .found("450 4.7.1 later"))
        #expect(await table.lookup("with space") == .found("OK"))
        #expect(await table.lookup("empty") == .notFound)
        #expect(
            registry.warnings.map(\.description) == [
                "\(path):9: warning: expected format: key whitespace value",
                "\(path):10: warning: duplicate entry: \"one.example\"",
                "\(path):11: warning: record is in \"key: value\" format; is this an alias file?",
            ]
        )
        #expect(registry.watchedFiles == [path])
        #expect(try registry.open("texthash:\(path)").name == table.name)
    }

    @Test func problemsNameTheLine() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("nets", "10.0.0.0/8 OK\n10.0.0.1/8 REJECT\nfoo DUNNO\n")
        #expect(
            problems("cidr:\(path)") == [
                "\(path):2: non-null host address bits in \"10.0.0.1/8\", perhaps you should use \"10.0.0.0/8\" instead",
                "\(path):3: bad net/mask pattern: \"foo\"",
            ]
        )
    }

    @Test func indexedTypesReadTheirSource() async throws {
        let directory = try TemporaryDirectory()
        let aliases = try directory.write("aliases", "root: alice\npostmaster:root\n\"quoted name\": x\nplain value\n")
        let table = try open("hash:\(aliases)")
        for key in ["root", "postmaster", "quoted name", "plain"] { #expect(await table.lookup(key) != .notFound, "\(key)") }
        #expect(await table.lookup("alice") == .notFound)
        let missing = problems("hash:\(directory.path)/none")
        #expect(missing.count == 2)
        #expect(missing[0].contains("table type hash is not built in: build with the BerkeleyDB trait, or keep its source text"))
        #expect(missing[1].hasSuffix("No such file or directory"))
    }

    @Test func accounts() async throws {
        let table = try open("proxy:unix:passwd.byname")
        guard case .found(let line) = await table.lookup("ROOT") else {
            Issue.record("no root")
            return
        }
        #expect(line.hasPrefix("root:"))
        #expect(await table.lookup("no-such-user-here") == .notFound)
    }
}
