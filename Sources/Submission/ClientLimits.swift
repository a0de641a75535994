/// Connection counts and rates per client for one process, what anvil(8) does for Postfix.
package final class ClientLimits: Sendable {
    package init() {}
}
