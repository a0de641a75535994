import SMTPCore

/// Something of the queue that cannot be read.
struct SpoolDamage: Sendable, Hashable {
    var text: String
    /// The message it concerns, if that is known: when the administrator deletes it, the damage is done with.
    var id: QueueID?
    /// nil for what was met on the way to a message, and says no more than `id`.
    var place: DamagePlace?
    /// The administrator knows of it.
    var isAcknowledged = false

    init(_ text: String, id: QueueID? = nil, place: DamagePlace? = nil) {
        self.text = text
        self.id = id
        self.place = place
    }
}

/// Where damage is, and what it is. The same damage has the same place whenever and however it is found.
struct DamagePlace: Sendable, Hashable {
    /// Relative to the queue directory.
    var file: String
    var offset: Int
    var length: Int
    /// Printable.
    var what: String

    init(file: String, offset: Int, length: Int, what: String) {
        self.file = file
        self.offset = offset
        self.length = length
        self.what = QueueReport.printable(what)
    }

    init(segment: UInt64, offset: Int, length: Int, what: String) {
        self.init(file: "journal/\(Journal.name(segment))", offset: offset, length: length, what: what)
    }

    /// Whether `other` lies in here and is of the same kind.
    func covers(_ other: DamagePlace) -> Bool {
        file == other.file && what == other.what && offset <= other.offset
            && other.offset - offset <= length && other.length <= length - (other.offset - offset)
    }
}
