import SMTPCore
import Testing

@testable import HandOff

@Suite struct LeasedIDsTests {
    private func id(_ raw: UInt64) -> QueueID { QueueID(rawValue: raw) }

    @Test func eachIDIsGoodOnce() {
        var leases = LeasedIDs()
        for id: UInt64 in [0, 1, 99, .max] { #expect(leases.claim(QueueID(rawValue: id)) == .refused) }
        leases.add(100..<230)
        leases.add(500..<501)
        leases.add(501..<501)
        for raw in Array(UInt64(100)..<230).shuffled() + [500] { #expect(leases.claim(id(raw)) == .granted) }
        for raw: UInt64 in [99, 100, 164, 229, 230, 400, 499, 500, 501, .max] { #expect(leases.claim(id(raw)) == .refused) }
    }

    @Test func theOldestAreForgottenAndNotGivenTwice() {
        var leases = LeasedIDs(limit: 4)
        for first in stride(from: UInt64(1_000), to: 1_050, by: 10) { leases.add(first..<first + 10) }
        // Five leases: the two oldest have gone.
        for raw: UInt64 in [1_000, 1_019] { #expect(leases.claim(id(raw)) == .forgotten) }
        #expect(leases.claim(id(999)) == .refused)
        for raw in UInt64(1_020)..<1_050 {
            #expect(leases.claim(id(raw)) == .granted)
            #expect(leases.claim(id(raw)) == .refused)
        }
        // What has been used up takes no place.
        for first in stride(from: UInt64(2_000), to: 3_000, by: 10) {
            leases.add(first..<first + 10)
            for raw in first..<first + 10 { #expect(leases.claim(id(raw)) == .granted) }
        }
        #expect(leases.claim(id(1_025)) == .refused)
    }

    @Test func theEndOfTheNumbersIsNoTrap() {
        var leases = LeasedIDs()
        leases.add(UInt64.max - 64..<UInt64.max)
        #expect(leases.claim(id(.max - 64)) == .granted)
        #expect(leases.claim(id(.max - 1)) == .granted)
        #expect(leases.claim(id(.max)) == .refused)
    }
}
