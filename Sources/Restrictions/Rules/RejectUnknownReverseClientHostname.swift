import Resolver
import SMTPCore

/// `reject_unknown_reverse_client_hostname`: no PTR name.
struct RejectUnknownReverseClientHostname: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        let peer = run.facts.peerName
        guard peer.reverseName == PeerName.unknown.reverseName else { return .dunno }
        var code = run.environment.codes.unknownClient
        if case .temporaryFailure = peer.status { code = 450 }
        let text = "Client host rejected: cannot find your reverse hostname, [\(run.facts.addressText)]"
        return .reject(Replies.make(code, EnhancedStatusCode(4, 7, 1), text))
    }
}
