import Foundation
import Testing

@testable import Authentication

/// `postern user` and `postern auth-test` below the command line. Part of the Cyrus suite, because the library is prepared once at a time.
extension CyrusTests {
    @Test func accountsAreMadeChangedListedAndDeleted() async throws {
        let home = try Home()
        defer { home.remove() }
        let profile = home.profile()
        try home.prepare()
        try SASLAccounts.setPassword(SecretBytes("first"), name: "carol", realm: "example.org", reader: "nobody", profile: profile)
        try SASLAccounts.setPassword(SecretBytes("second"), name: "carol", realm: "example.org", reader: "nobody", profile: profile)
        #expect(
            try SASLDatabaseFile.accounts(path: profile.sasldbPath)
                == [.init(name: "carol", realm: "example.org"), .init(name: "alice", realm: "mx.test.example")]
        )
        let client = try home.startWorkers()
        #expect(try await home.login(client, "PLAIN", "carol@example.org", "second") == .success(username: "carol@example.org"))
        guard case .rejected = try await home.login(client, "PLAIN", "carol@example.org", "first") else {
            Issue.record("the old password still works")
            return
        }
        try SASLAccounts.delete(name: "carol", realm: "example.org", profile: profile)
        #expect(throws: SASLConfigurationError("carol@example.org: no such account")) {
            try SASLAccounts.delete(name: "carol", realm: "example.org", profile: profile)
        }
        #expect(try SASLDatabaseFile.accounts(path: profile.sasldbPath).map(\.name) == ["alice"])
    }

    @Test func aNewDatabaseIsNotForEverybody() throws {
        let home = try Home()
        defer { home.remove() }
        try FileManager.default.removeItem(atPath: home.directory + "/sasldb2")
        try home.prepare()
        try SASLAccounts.setPassword(SecretBytes("p"), name: "dave", realm: "r", reader: "nobody", profile: home.profile())
        let mode = try FileManager.default.attributesOfItem(atPath: home.directory + "/sasldb2")[.posixPermissions] as? Int
        #expect(mode == 0o640)
    }

    @Test(arguments: ["", "a\nb", "a\u{0}b"])
    func loginNamesAreChecked(name: String) throws {
        let home = try Home()
        defer { home.remove() }
        try home.prepare()
        #expect(throws: SASLConfigurationError.self) {
            try SASLAccounts.setPassword(SecretBytes("p"), name: name, realm: "r", reader: "nobody", profile: home.profile())
        }
    }

    @Test func aLargeDatabaseIsListedWhole() throws {
        let home = try Home()
        defer { home.remove() }
        try home.prepare()
        for number in 0..<150 {
            try SASLAccounts.setPassword(
                SecretBytes("pw\(number)"),
                name: "user\(number)",
                realm: "r",
                reader: "nobody",
                profile: home.profile()
            )
        }
        let names = try SASLDatabaseFile.accounts(path: home.directory + "/sasldb2").filter { $0.realm == "r" }.map(\.name)
        #expect(Set(names) == Set((0..<150).map { "user\($0)" }))
    }

    @Test func aBrokenDatabaseFileIsRefused() throws {
        let home = try Home()
        defer { home.remove() }
        var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: home.directory + "/sasldb2")))
        #expect(SASLDatabaseFile.accounts(in: bytes)?.count == 1)
        #expect(SASLDatabaseFile.accounts(in: []) == nil)
        #expect(SASLDatabaseFile.accounts(in: Array(repeating: 0, count: 8192)) == nil)
        // Whatever the bytes, the reader stays inside them.
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            var broken = bytes
            for _ in 0..<20 { broken[Int.random(in: 24..<broken.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator) }
            _ = SASLDatabaseFile.accounts(in: broken)
            _ = SASLDatabaseFile.accounts(in: Array(broken.prefix(Int.random(in: 0..<broken.count, using: &generator))))
        }
        bytes[12] ^= 1
        #expect(SASLDatabaseFile.accounts(in: bytes) == nil)
    }

    @Test func authTestTakesTheWorkersPath() throws {
        let home = try Home()
        defer { home.remove() }
        let offered = try home.prepare()
        let configuration = AuthClientConfiguration(serverName: "mx.test.example")
        for mechanism in offered.map(\.name) where mechanism != "ANONYMOUS" && mechanism != "NTLM" {
            let good = AuthTest.login(
                .cyrus(home.profile()),
                configuration: configuration,
                mechanism: mechanism,
                user: "alice",
                password: "secret",
                tlsActive: true
            )
            #expect(good.step == .success(username: "alice"), "\(mechanism)")
            let bad = AuthTest.login(
                .cyrus(home.profile()),
                configuration: configuration,
                mechanism: mechanism,
                user: "alice",
                password: "wrong",
                tlsActive: true
            )
            guard case .rejected = bad.step else {
                Issue.record("\(mechanism) with a wrong password: \(bad.step)")
                continue
            }
        }
    }
}
