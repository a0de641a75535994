import Spool

/// The queue as mailq(1) prints it.
struct QueueReport {
    private let json: Bool
    private var count = 0
    private var bytes = 0

    init(json: Bool) { self.json = json }

    mutating func entry(_ listing: QueueListing) -> String {
        count += 1
        bytes += listing.size
        return "\(listing.id) \(listing.size) \(listing.sender)\n"
    }

    func trailer() -> String { json ? "" : "-- \(bytes / 1024) Kbytes in \(count) Requests.\n" }
}
