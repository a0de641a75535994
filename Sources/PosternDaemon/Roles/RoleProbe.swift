import CLinux
import Glibc

/// What an attacker could do who owns a role: confines this process by the role's own code, then tries. For tests and for the curious.
package enum RoleProbe {
    /// Prints one line for each attempt, `NAME: ok` or `NAME: ERROR`. Returns 1 if the role could not even be confined.
    /// - Parameter paths: files and directories to open for reading and for writing.
    package static func run(_ role: Role, configurationDirectory: String, paths: [String]) -> CInt {
        let parent = getppid()
        do {
            let environment = try RoleEnvironment(configurationDirectory: configurationDirectory)
            let report =
                switch role {
                case .smtpd: try SMTPDRole(environment).confine()
                case .queue: try QueueRole(environment).confine()
                case .authentication(let profile, _): try AuthenticationRole(environment, profile: profile).confine()
                case .plan: throw RoleFailure("the plan role is not confined: it reads the configuration as who runs it")
                }
            print("confinement: \(report)")
        } catch {
            print("confinement failed: \(error)")
            return 1
        }
        for path in paths {
            say("read \(path)", tryOpening(path, O_RDONLY))
            say("write \(path)", tryOpening(path, O_WRONLY))
            say("create in \(path)", tryOpening("\(path)/postern-probe", O_WRONLY | O_CREAT | O_EXCL))
        }
        say("regain root", postern_probe_root())
        say("trace the parent", postern_probe_ptrace(parent))
        say("signal the parent", postern_probe_signal(parent))
        say("start a program", postern_probe_program())
        say("mount", postern_probe_mount())
        say("open by handle", postern_probe_handle())
        say("bpf", postern_probe_bpf())
        say("executable memory", postern_probe_executable_memory())
        say("netlink socket", postern_probe_packet_socket())
        say("bind a port", postern_probe_port())
        print("time zone: \(zone())")
        return 0
    }

    private static func tryOpening(_ path: String, _ flags: CInt) -> CInt {
        let descriptor = unsafe open(path, flags | O_CLOEXEC | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else { return errno }
        close(descriptor)
        if flags & O_CREAT != 0 { _ = unsafe unlink(path) }
        return 0
    }

    private static func say(_ what: String, _ code: CInt) { print("\(what): \(code == 0 ? "ok" : errorText(code))") }

    /// The offset from UTC, as a log line or a Date: header would have it.
    private static func zone() -> Int {
        var now = time(nil)
        var local = unsafe tm()
        _ = unsafe localtime_r(&now, &local)
        return unsafe local.tm_gmtoff
    }
}
