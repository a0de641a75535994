import Authentication
import SMTPCore
import Settings
import Tables
import Testing

@testable import Relay

/// Which entry of `smtp_sasl_password_maps` is used; the answers are those of a Postfix 3.7.11.
@Suite struct PasswordLookupTests {
    private static let bySender = ["smtp_sender_dependent_authentication": "yes", "recipient_delimiter": "+"]

    static let examples: [(table: String, parameters: [String: String], sender: String, nextHop: String, login: String?)] = [
        ("h.test=host:1, [h.test]=brackets:2, [h.test]:587=all:3", [:], "a", "[h.test]:587", "host"),
        ("[h.test]=brackets:2, [h.test]:587=all:3", [:], "a", "[h.test]:587", "all"),
        ("[h.test]=brackets:2", [:], "a", "[h.test]:587", nil),
        ("d.test=domain:1, h.test=host:2", [:], "a", "d.test", "host"),
        ("d.test=domain:1", [:], "a", "d.test", "domain"),
        ("a@s.test=sender:1, h.test=host:2", [:], "a", "[h.test]", "host"),
        ("a@s.test=sender:1, h.test=host:2", bySender, "a", "[h.test]", "sender"),
        ("a@s.test=sender:1, h.test=host:2", bySender, "a+x", "[h.test]", "sender"),
        ("@s.test=domain:1, h.test=host:2", bySender, "a", "[h.test]", "domain"),
        ("s.test=domain:1, h.test=host:2", bySender, "a", "[h.test]", "host"),
        ("h.test=nopassword", [:], "a", "[h.test]", "nopassword"),
    ]

    @Test(arguments: examples)
    func login(_ example: (table: String, parameters: [String: String], sender: String, nextHop: String, login: String?)) async throws {
        let settings = ServiceSettings.testing(
            ["smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "inline:{\(example.table)}"].merging(example.parameters) { $1 }
        )
        var problems: [Diagnostic] = []
        let client = ClientSettings(settings, dialect: .smtp, tables: TableRegistry(), ownAddresses: [], problems: &problems)
        let sasl = try #require(client?.sasl, "\(problems)")
        let sender = Address(localPart: example.sender, domain: "s.test")
        let found = try await sasl.credentials(sender: sender, nextHop: example.nextHop, host: "h.test")
        #expect(found?.username == example.login)
    }
}
