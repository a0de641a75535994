import SMTPCore
import Testing

@testable import PosternDaemon

@Suite struct ListeningPortsTests {
    private static let v4 = """
          sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 0100007F:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0000000000000000 100 0 0 10 0
           1: 00000000:024B 00000000:0000 0A 00000000:00000000 00:00000000 00000000   103        0 1235 1 0000000000000000 100 0 0 10 0
           2: 0100007F:0019 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1236 1 0000000000000000 100 0 0 10 0
        """
    private static let v6 = """
          sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 00000000000000000000000001000000:01D1 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1240 1 0 100 0 0 10 0
        """

    @Test func readsWhatListens() {
        let v4 = ListeningPorts.parse(Self.v4)
        #expect(v4.map(\.port) == [25, 587])
        #expect(v4.map(\.address) == [IPAddress("127.0.0.1")!, IPAddress("0.0.0.0")!])
        #expect(v4.map(\.inode) == [1234, 1235])
        #expect(v4.map(\.userID) == [0, 103])
        let v6 = ListeningPorts.parse(Self.v6)
        #expect(v6.map(\.address) == [IPAddress("::1")!])
        #expect(v6.map(\.port) == [465])
    }

    @Test(arguments: ["", "garbage", "0: zz:19 0:0 0A 0 0 0 0 0 1", "0: 0100007F 0:0 0A 0 0 0 0 0 1"]) func skipsWhatItCannotRead(
        _ text: String
    ) {
        #expect(ListeningPorts.parse(text).isEmpty)
    }

    @Test func theSameAddressGoesBeforeAnyAddress() {
        let entries = ListeningPorts.parse(Self.v4)
        let loopback = IPAddress("127.0.0.1")!
        #expect(ListeningPorts.occupant(of: loopback, 25, among: entries)?.inode == 1234)
        #expect(ListeningPorts.occupant(of: loopback, 587, among: entries)?.inode == 1235)
        #expect(ListeningPorts.occupant(of: .v4(0), 25, among: entries)?.inode == 1234)
        #expect(ListeningPorts.occupant(of: IPAddress("127.0.0.2")!, 25, among: entries) == nil)
        #expect(ListeningPorts.occupant(of: loopback, 26, among: entries) == nil)
    }
}
