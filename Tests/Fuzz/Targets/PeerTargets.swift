import SMTPCore
@testable import Submission

extension FuzzTarget {
    /// Counters from another generation of the server; the bytes cross a pipe.
    static let snapshot = FuzzTarget(
        "snapshot",
        words: ["smtp", "submission", "\u{0}\u{0}\u{0}\u{1}", "\u{4}", "\u{10}", "\u{7F}\u{0}\u{0}\u{1}", " "],
        seeds: [
            "\u{1}\u{0}\u{1}\u{4}smtp\u{0}\u{0}\u{0}\u{1}\u{0}\u{0}\u{4}\u{7F}\u{0}\u{0}\u{1} \u{0}\u{0}\u{0}\u{2}\u{0}\u{0}\u{0}\u{9}"
                + String(repeating: "\u{0}\u{0}\u{0}\u{3}", count: 5),
            "\u{1}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}",
        ]
    ) { bytes in
        let limits = ClientLimits(capacity: 8)
        let client = IPNetwork(.v4(0x7F00_0001), prefixLength: 32)!
        guard limits.merge(snapshot: bytes) else { return }
        try require(limits.clientCount <= 8, "\(limits.clientCount) clients where 8 fit")
        _ = limits.connect(service: "smtp", client: client)
        _ = limits.count(.message, service: "smtp", client: client)
        try require(ClientLimits(capacity: 8).merge(snapshot: limits.snapshot()), "our own snapshot is not understood")
        limits.disconnect(service: "smtp", client: client)
        limits.forget(source: 0)
        if let snapshot = ClientSnapshot(bytes) {
            try require(ClientSnapshot(ClientSnapshot(clients: snapshot.clients, maximumSize: 4096).bytes) != nil, "cannot be read again")
        }
    }
}
