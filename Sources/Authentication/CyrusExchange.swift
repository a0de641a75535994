import CSASL

/// One AUTH exchange as the library conducts it, with its results in the words of the seam.
package final class CyrusExchange {
    package struct Result: Sendable {
        package var step: AuthenticationStep
        /// What the library, and we, have to say of it.
        package var log: [String]
    }

    private let profile: CyrusProfile
    private var connection: CyrusServerConnection?
    private let creationFailure: CInt

    /// `parameters`: `service`, and our own `x-server`, `x-realm`, `x-security`; the profile has the defaults.
    package init(profile: CyrusProfile, parameters: AuthParameters) {
        self.profile = profile
        // An option we do not know would have restricted: all of them, then.
        let options = (try? SASLSecurityOptions(parsing: parameters["x-security"] ?? "noanonymous")) ?? SASLSecurityOptions(rawValue: .max)
        var failure = SASL_OK
        connection = CyrusLock.hold {
            do throws(CyrusServerConnection.Failure) {
                return try CyrusServerConnection(
                    service: parameters["service"] ?? profile.service,
                    serverName: parameters["x-server"] ?? profile.serverName,
                    realm: parameters["x-realm"] ?? profile.localDomain,
                    options: options
                )
            } catch {
                failure = error.status
                return nil
            }
        }
        creationFailure = failure
    }

    deinit { CyrusLock.hold { connection = nil } }

    package func start(mechanism: String, response: SecretBytes?) -> Result {
        run { $0.start(mechanism: mechanism, response: response) }
    }

    package func step(response: SecretBytes) -> Result {
        run { $0.step(response: response) }
    }

    private func run(_ body: (CyrusServerConnection) -> CyrusServerConnection.Step) -> Result {
        let (step, log) = CyrusLock.hold { () -> (CyrusServerConnection.Step, [String]) in
            guard let connection else { return (.failure(status: creationFailure, username: nil), CyrusServer.takeLog()) }
            return (body(connection), CyrusServer.takeLog())
        }
        switch step {
        case .challenge(let data): return Result(step: .challenge(data), log: log)
        case .success(let username): return Result(step: .success(username: username), log: log)
        case .failure(let status, let username): return failure(status, username, log)
        }
    }

    /// Which of the library's codes are its surroundings' fault, and what more can be said of them.
    private func failure(_ status: CInt, _ username: String?, _ log: [String]) -> Result {
        let reason = CyrusServer.errorText(status)
        switch status {
        case SASL_NOMECH where username == nil:
            return Result(step: .rejected(reason: reason, username: nil), log: log)
        // No mechanism although there is one that has understood a name: what is missing is the password verifier or auxprop plug-in that
        // smtpd.conf names. Postfix tells the client that the password is wrong; the client has done nothing wrong.
        case SASL_FAIL, SASL_NOMEM, SASL_TRYAGAIN, SASL_UNAVAIL, SASL_NOMECH:
            let problems = username == nil ? [] : SASLBackEndProbe.problems(profile).map { "SASL authentication problem: \($0.log)" }
            return Result(step: .unavailable(reason: reason, username: username), log: log + problems.filter { !log.contains($0) })
        case SASL_BADAUTH:
            // A sasldb that is not there knows nobody: the library calls that a wrong password, we do not.
            if let problem = SASLBackEndProbe.missingOnlySasldb(profile) {
                return Result(
                    step: .unavailable(reason: CyrusServer.errorText(SASL_FAIL), username: username),
                    log: log + ["SASL authentication problem: \(problem.log)"]
                )
            }
            return Result(step: .rejected(reason: reason, username: username), log: log)
        default:
            return Result(step: .rejected(reason: reason, username: username), log: log)
        }
    }
}
