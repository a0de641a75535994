import Resolver
import SMTPCore

/// `reject_unknown_client_hostname`: no PTR name, or one that does not lead back to the client.
struct RejectUnknownClientHostname: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        let code: Int
        switch run.facts.peerName.status {
        case .verified: return .dunno
        case .none, .malformed, .forged: code = run.environment.codes.unknownClient
        case .temporaryFailure: code = 450
        }
        let text = "Client host rejected: cannot find your hostname, [\(run.facts.addressText)]"
        return .reject(Replies.make(code, EnhancedStatusCode(4, 7, 25), text))
    }
}
