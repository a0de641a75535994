/// The worker's end of the Dovecot auth protocol over libsasl2: a blocking loop on one descriptor, the whole job of an auth role's process.
package enum CyrusWorker {
    /// `sasl_server_init`: reads smtpd.conf, loads the plug-ins. To be called once per process, while still root and outside a chroot.
    /// Returns the mechanisms without any security option applied. Throws ``SASLConfigurationError`` when there are none
    /// (`no SASL authentication mechanisms`) or the library refuses.
    @discardableResult
    package static func prepare(_ profile: CyrusProfile) throws(SASLConfigurationError) -> [AuthMechanism] { preconditionFailure("not built yet") }

    /// Serves requests until the other end closes; then the process is to exit. Blocks. ``prepare(_:)`` must have returned.
    package static func run(descriptor: CInt, profile: CyrusProfile) { preconditionFailure("not built yet") }
}
