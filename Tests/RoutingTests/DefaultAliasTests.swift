import Routing
import Settings
import Tables
import Testing

@Suite struct DefaultAliasTests {
    @Test func theDefaultsNISMapIsPassedOver() throws {
        let settings = ServiceSettings.testing(["local_recipient_maps": "$alias_maps"])
        let list = try TableRegistry().list(ofParameter: "local_recipient_maps", settings)
        #expect(list.tables.map(\.name) == ["hash:/etc/aliases"])
    }

    @Test func oneThatTheAdministratorWroteIsRefused() {
        let settings = ServiceSettings.testing(["local_recipient_maps": "$alias_maps", "alias_maps": "nis:mail.aliases"])
        #expect(throws: ConfigurationError.self) { try TableRegistry().list(ofParameter: "local_recipient_maps", settings) }
    }
}
