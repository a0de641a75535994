import PosternTesting
import SMTPCore
import Spool
import Testing

/// Compared with what Postfix 3.7.11 prints for the same queue.
@Suite struct QueueReportTests {
    static let messages: [QueueListing] = [
        QueueListing(
            id: QueueID("E1A05F7E073")!,
            state: .deferred,
            size: 260,
            arrival: 1_795_232_590,
            sender: Address(localPart: "s", domain: "example.com"),
            recipients: [
                .init(address: Address(localPart: "d", domain: "[192.0.2.1]"), delayReason: "deferred transport"),
                .init(address: Address(localPart: "c", domain: "example.org"), delayReason: "deferred transport"),
            ]
        ),
        QueueListing(
            id: QueueID("DA0CEF7E07")!,
            state: .active,
            size: 254,
            arrival: 1_795_232_590,
            sender: .null,
            recipients: [.init(address: Address(localPart: "a", domain: "example.org"))]
        ),
        QueueListing(
            id: QueueID("CA922F7E074")!,
            state: .hold,
            size: 261,
            arrival: 1_795_232_590 - 11 * 86_400,
            sender: Address(localPart: "s", domain: "example.com"),
            recipients: [.init(address: Address(localPart: "a", domain: "example.org"), delayReason: "say \"no\"\r\n\u{1B}[2J")]
        ),
    ]

    @Test(
        arguments: zip(
            messages,
            [
                """
                E1A05F7E073     260 Sat Nov 21 03:43:10  s@example.com
                                                                          (deferred transport)
                                                         d@[192.0.2.1]
                                                         c@example.org


                """,
                """
                DA0CEF7E07*     254 Sat Nov 21 03:43:10  MAILER-DAEMON
                                                         a@example.org


                """,
                """
                CA922F7E074!     261 Tue Nov 10 03:43:10  s@example.com
                                                                              (say "no"???[2J)
                                                         a@example.org


                """,
            ]
        )
    ) func mailqText(message: QueueListing, expected: String) {
        #expect(QueueReport.text(message, localTime: { _ in 0 }) == expected)
    }

    @Test func timeZoneMovesTheDay() {
        #expect(QueueReport.text(Self.messages[1], localTime: { _ in -4 * 3_600 }).contains("Fri Nov 20 23:43:10"))
    }

    @Test func jsonLines() {
        #expect(
            QueueReport.json(Self.messages[0])
                == #"{"queue_name": "deferred", "queue_id": "E1A05F7E073", "arrival_time": 1795232590, "message_size": 260, "forced_expire": false, "sender": "s@example.com", "recipients": [{"address": "d@[192.0.2.1]", "delay_reason": "deferred transport"}, {"address": "c@example.org", "delay_reason": "deferred transport"}]}"#
                + "\n"
        )
        #expect(QueueReport.json(Self.messages[1]).contains(#""sender": "MAILER-DAEMON", "recipients": [{"address": "a@example.org"}]}"#))
        #expect(QueueReport.json(Self.messages[2]).contains(#"say \"no\"\r\n\u001b[2J"#))
    }

    @Test func trailers() {
        #expect(QueueReport.trailer(bytes: 775, count: 3) == "-- 0 Kbytes in 3 Requests.\n")
        #expect(QueueReport.trailer(bytes: 2_100, count: 1) == "-- 2 Kbytes in 1 Request.\n")
    }
}
