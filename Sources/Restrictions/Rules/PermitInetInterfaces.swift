import Routing
import SMTPCore

/// `permit_inet_interfaces`: the client's address is one of this host's own.
struct PermitInetInterfaces: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        run.environment.router.isOwnAddress(run.facts.socketAddress) ? .permit : .dunno
    }
}
