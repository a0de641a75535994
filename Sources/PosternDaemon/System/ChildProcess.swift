import CLinux
import Glibc

/// Starts programs and learns of their ends.
enum ChildProcess {
    /// This program's own file, for starting it in a role.
    static func ownPath() -> String {
        guard let path = unsafe realpath("/proc/self/exe", nil) else { return "/proc/self/exe" }
        defer { unsafe free(path) }
        return unsafe String(cString: path)
    }

    /// The program this process runs, though its file may have been replaced since.
    static func samePath(as program: String) -> String {
        unsafe access("/proc/self/exe", X_OK) == 0 ? "/proc/self/exe" : program
    }

    /// Starts `path`; `control` becomes descriptor 3. Everything else that is close-on-exec stays here.
    static func start(
        _ path: String,
        named name: String? = nil,
        _ arguments: [String],
        control: CInt,
        newSession: Bool = false
    ) throws(SystemError) -> pid_t {
        var pid: pid_t = 0
        let environment = passedEnvironment()
        let code = unsafe withCStrings([name ?? path] + arguments) { argv in
            unsafe withCStrings(environment) { envp in unsafe postern_spawn(&pid, path, argv, envp, control, newSession ? 1 : 0) }
        }
        guard code == 0 else { throw SystemError("starting \(path)", code: code) }
        return pid
    }

    enum End: Sendable, Hashable, CustomStringConvertible {
        case exited(Int)
        case signalled(Int)

        var description: String {
            switch self {
            case .exited(let status): "exit status \(status)"
            case .signalled(let signal): "killed by signal \(signal)"
            }
        }
    }

    /// A child that has ended, if any.
    static func reap() -> (pid: pid_t, end: End)? {
        var status: CInt = 0
        let pid = unsafe waitpid(-1, &status, WNOHANG)
        guard pid > 0 else { return nil }
        let signal = Int(status & 0x7F)
        return (pid, signal == 0 ? .exited(Int(status >> 8 & 0xFF)) : .signalled(signal))
    }

    /// `import_environment`'s spirit: only what a role needs; no backtraces, which could print secrets.
    private static func passedEnvironment() -> [String] {
        var out = ["SWIFT_BACKTRACE=enable=no", "LANG=C"]
        for name in ["PATH", "TZ", "MAIL_CONFIG", "SASL_PATH", "SASL_CONF_PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "OPENSSL_CONF"] {
            if let value = unsafe getenv(name) { out.append("\(name)=\(unsafe String(cString: value))") }
        }
        return out
    }
}
