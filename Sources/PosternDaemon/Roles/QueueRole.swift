import Glibc
import HandOff
import LoopTask
import MailLog
import NIOCore
import NIOPosix
import Relay
import Resolver
import Routing
import SMTPCore
import Settings
import Spool
import TLS
import Tables

/// The queue role: owns `queue_directory` and the relay's credentials. Knows no client.
final class QueueRole {
    private let environment: RoleEnvironment

    init(_ environment: RoleEnvironment) throws {
        self.environment = environment
    }
}
