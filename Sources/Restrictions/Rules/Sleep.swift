import LoopTask
import NIOCore

/// `sleep N`: makes the client wait N seconds; other sessions of the loop go on.
struct Sleep: Rule {
    let seconds: Int

    func evaluate(_ run: Evaluation) async -> Verdict {
        // Ended early when the session's task is cancelled, which then ends the session anyway.
        await pause(.seconds(Int64(seconds)))
        return .dunno
    }
}
