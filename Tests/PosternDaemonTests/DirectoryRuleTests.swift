import Testing

@testable import PosternDaemon

@Suite struct DirectoryRuleTests {
    private static let root = DirectoryRule.Users(caller: 0, mailOwner: 103) { "u\($0)" }
    private static let caller = DirectoryRule.Users(caller: 1000, mailOwner: 1000) { "u\($0)" }

    enum Expected: Sendable {
        case fine, create
        case mend(UInt32?, UInt32?)
        case refuse(String)
    }

    static let cases: [(DirectoryRule, DirectoryRule.Facts?, DirectoryRule.Users, Expected)] = {
        let journal = DirectoryRule(path: "/q/journal", owner: .mailOwner, mode: 0o700)
        let pid = DirectoryRule(path: "/q/pid", owner: .system, mode: 0o755)
        func directory(_ user: UInt32, _ mode: UInt32) -> DirectoryRule.Facts { .init(kind: .directory, userID: user, mode: mode) }
        return [
            (journal, nil, root, .create),
            (journal, directory(103, 0o700), root, .fine),
            (journal, directory(103, 0o755), root, .mend(nil, 0o700)),
            (journal, directory(103, 0o500), root, .mend(nil, 0o700)),
            (journal, directory(0, 0o700), root, .mend(103, nil)),
            (journal, directory(0, 0o755), root, .mend(103, 0o700)),
            (journal, directory(55, 0o700), root, .refuse("chown u103 /q/journal")),
            (journal, directory(103, 0o770), root, .refuse("its group")),
            (journal, directory(103, 0o1777), root, .refuse("everybody")),
            (journal, .init(kind: .file, userID: 103, mode: 0o600), root, .refuse("not a directory")),
            (journal, .init(kind: .link, userID: 0, mode: 0o777), root, .fine),
            (journal, .init(kind: .link, userID: 103, mode: 0o777), root, .refuse("u103 has made")),
            (pid, directory(0, 0o755), root, .fine),
            (pid, directory(103, 0o755), root, .mend(0, nil)),
            (pid, directory(0, 0o700), root, .mend(nil, 0o755)),
            (pid, directory(0, 0o775), root, .refuse("chmod go-w /q/pid")),
            (journal, directory(1000, 0o700), caller, .fine),
            (pid, directory(1000, 0o755), caller, .fine),
            (journal, directory(0, 0o700), caller, .refuse("start the server as that user or as root")),
        ]
    }()

    @Test(arguments: cases) func decides(rule: DirectoryRule, facts: DirectoryRule.Facts?, users: DirectoryRule.Users, expected: Expected) {
        switch (rule.verdict(facts, users), expected) {
        case (.fine, .fine), (.create, .create): break
        case (.mend(let owner, let mode, _), .mend(let wantedOwner, let wantedMode)): #expect(owner == wantedOwner && mode == wantedMode)
        case (.refuse(let text), .refuse(let part)): #expect(text.contains(part))
        case (let verdict, _): Issue.record("\(verdict) instead of \(expected)")
        }
    }

    @Test func filesOfOthersInTheJournalAreRefused() {
        func verdict(_ kind: DirectoryRule.Kind, _ user: UInt32) -> DirectoryRule.Verdict {
            DirectoryRule.verdict(onFile: "/q/journal/1.log", .init(kind: kind, userID: user, mode: 0o600), Self.root)
        }
        #expect(verdict(.file, 103) == .fine)
        #expect(verdict(.file, 0) == .mend(owner: 103, mode: nil, "/q/journal/1.log: owner root instead of u103"))
        guard case .refuse = verdict(.file, 55), case .refuse = verdict(.link, 103), case .refuse = verdict(.directory, 103) else {
            Issue.record("accepted")
            return
        }
    }
}

@Suite struct PathSiblingsTests {
    @Test func everythingButTheHidden() {
        let tree = [
            "/": ["etc", "var"], "/var": ["spool", "lib"], "/var/spool": ["mail", "q"],
            "/var/spool/q": ["journal", "content", "etc"],
        ]
        let all = PathSiblings.all(but: ["/var/spool/q/journal", "/var/spool/q/content"]) { tree[$0] ?? [] }
        #expect(Set(all) == ["/etc", "/var/lib", "/var/spool/mail", "/var/spool/q/etc"])
        #expect(PathSiblings.all(but: ["/var"]) { tree[$0] ?? [] } == ["/etc"])
        #expect(PathSiblings.all(but: ["/nowhere/at/all"]) { tree[$0] ?? [] } == ["/etc", "/var"])
    }
}
