/// What the disconnect line tells: for each command how often it came and how often it succeeded, in the order of the verb table.
struct CommandStatistics {
    private var succeeded = [UInt32](repeating: 0, count: VerbTable.verbs.count + 1)
    private var total = [UInt32](repeating: 0, count: VerbTable.verbs.count + 1)

    /// The index of unrecognised commands.
    static let unknown = VerbTable.verbs.count

    mutating func count(_ index: Int, succeeded success: Bool) {
        total[index] &+= 1
        if success { succeeded[index] &+= 1 }
    }

    /// ` ehlo=1 mail=1/2 commands=2/3`, with a leading blank.
    var summary: String {
        var out = ""
        for index in total.indices where total[index] > 0 {
            let name = index == Self.unknown ? "unknown" : VerbTable.verbs[index].name.lowercased()
            out += " \(name)=\(Self.ratio(succeeded[index], total[index]))"
        }
        let successes = succeeded.reduce(0, &+)
        let all = total.reduce(0, &+)
        out += " commands=" + (all == 0 ? "0/0" : Self.ratio(successes, all))
        return out
    }

    private static func ratio(_ succeeded: UInt32, _ total: UInt32) -> String {
        succeeded == total ? "\(total)" : "\(succeeded)/\(total)"
    }
}
