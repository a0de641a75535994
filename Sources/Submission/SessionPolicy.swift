package import Settings

/// Every parameter a session reads, parsed once when the service is set up.
package struct SessionPolicy: Sendable {
    package init(_ settings: ServiceSettings) throws(ServiceProblems) {}
}
