package import NIOCore

/// The smtpd role's AUTH client: one service's view (security options, realm, filter) of a pool of back ends.
///
/// May be used from any event loop; a step's result resumes on the caller's own executor.
package final class AuthClient: Authenticator {
    private let configuration: AuthClientConfiguration
    private let pool: AuthPool

    /// Several services can share the `pool` if their workers are the same (`smtpd_sasl_path`, configuration paths) or Dovecot's socket is.
    package init(configuration: AuthClientConfiguration, pool: AuthPool) {
        self.configuration = configuration
        self.pool = pool
    }

    package func mechanisms(tlsActive: Bool) -> [String] { preconditionFailure("not built yet") }

    package func begin(_ request: AuthenticationRequest) async -> (step: AuthenticationStep, exchange: (any AuthenticationExchange)?) {
        preconditionFailure("not built yet")
    }
}

/// The connections to back ends of one kind, and the logins that wait for one.
package final class AuthPool: Sendable {
    /// A pool of our own workers; it is empty until ``addWorker(descriptor:)``.
    package init(group: any EventLoopGroup) {}

    /// Connects to Dovecot, and again whenever the connection is lost.
    package init(dovecotSocket: DovecotSocket, group: any EventLoopGroup) {}

    /// Takes over `descriptor`, a connected stream socket to a worker. When the worker closes it, it is removed and its exchanges end
    /// with `.unavailable`. Callable at any time from any thread.
    package func addWorker(descriptor: CInt) { preconditionFailure("not built yet") }

    /// Closes all connections; what is running ends with `.unavailable`.
    package func close() { preconditionFailure("not built yet") }
}
