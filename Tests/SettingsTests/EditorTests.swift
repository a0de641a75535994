import Settings
import Testing

/// The expected texts are what postconf of Postfix 3.7.11 leaves behind, unless a comment says otherwise.
@Suite struct EditorTests {
    static let main = """
        # top comment
        myhostname = a.b.c
        # about relay
        relayhost = x
          # inner
          continued

        myorigin = 1
        myorigin = 2
        #tail

        """

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func settingReplacesAndAppends() throws {
        let result = try MainEditor.set(["relayhost = new value", "inet_protocols=ipv4", "x=1", "x=2"], in: Array(Self.main.utf8))
        let expected = """
            # top comment
            myhostname = a.b.c
            # about relay
            relayhost = new value
              # inner

            myorigin = 1
            myorigin = 2
            #tail
            inet_protocols = ipv4
            x = 2

            """
        #expect(text(result.bytes) == expected)
        #expect(result.warnings == ["ignoring earlier request: 'x = 1'"])
    }

    @Test func everyDefinitionIsChanged() throws {
        let result = try MainEditor.set(["myorigin=3"], in: Array(Self.main.utf8))
        #expect(
            text(result.bytes) == Self.main.replacing("myorigin = 1", with: "myorigin = 3").replacing("myorigin = 2", with: "myorigin = 3")
        )
        #expect(result.warnings == ["multiple entries for \"myorigin\""])
    }

    @Test func removing() throws {
        let result = try MainEditor.remove(["relayhost", "myorigin", "nosuch"], in: Array(Self.main.utf8))
        #expect(text(result.bytes) == "# top comment\nmyhostname = a.b.c\n# about relay\n  # inner\n\n#tail\n")
    }

    @Test func commentingOut() throws {
        let result = try MainEditor.commentOut(["relayhost", "myorigin"], in: Array(Self.main.utf8))
        let expected = """
            # top comment
            myhostname = a.b.c
            # about relay
            #relayhost = x
              # inner
            #  continued

            #myorigin = 1
            #myorigin = 2
            #tail

            """
        #expect(text(result.bytes) == expected)
    }

    @Test func smallCases() throws {
        #expect(text(try MainEditor.set(["a="], in: Array("a = b\n".utf8)).bytes) == "a = \n")
        // Postfix glues the new line to a last line without line end; we complete it first.
        #expect(text(try MainEditor.set(["b=1"], in: Array("a = b".utf8)).bytes) == "a = b\nb = 1\n")
        #expect(text(try MainEditor.set(["b=1"], in: []).bytes) == "b = 1\n")
        #expect(text(try MainEditor.set(["a=c"], in: Array("a = b".utf8)).bytes) == "a = c")
        #expect(text(try MainEditor.remove(["x"], in: Array("a = b".utf8)).bytes) == "a = b")
        #expect(text(try MainEditor.remove(["c"], in: Array("a = b\nc = d".utf8)).bytes) == "a = b\n")
        // Bytes that are not UTF-8 stay.
        #expect(
            try MainEditor.set(["a=1"], in: [0x23, 0xFF, 0x0A, 0x62, 0x3D, 0xFE, 0x0A]).bytes == [0x23, 0xFF, 0x0A, 0x62, 0x3D, 0xFE, 0x0A]
                + Array("a = 1\n".utf8)
        )
    }

    @Test(arguments: ["relayhost", "=x", "a b=x", "a=1\nmynetworks=0.0.0.0/0", "#a=b"])
    func badSettingsAreRefused(word: String) {
        #expect(throws: EditError.self) { try MainEditor.set([word], in: []) }
    }

    static let master = """
        # top
        smtp inet n - y - - smtpd
          # in comment
          -o a=b
        # before relay
        relay unix - - n - - smtp -o syslog_name=postfix/$service_name
        smtp unix - - n - - smtp
        #end

        """

    @Test func masterEntries() throws {
        let set = try MasterEditor.setEntries(
            ["smtp/inet=smtp inet n - n - - smtpd -o c=d", "587/inet=587 inet n - n - - smtpd"],
            in: Array(Self.master.utf8)
        )
        let expected = """
            # top
            smtp       inet  n       -       n       -       -       smtpd
                -o c=d
              # in comment
            # before relay
            relay unix - - n - - smtp -o syslog_name=postfix/$service_name
            smtp unix - - n - - smtp
            #end
            587        inet  n       -       n       -       -       smtpd

            """
        #expect(text(set.bytes) == expected)
        let removed = try MasterEditor.removeEntries(["smtp/inet"], in: Array(Self.master.utf8))
        #expect(text(removed.bytes).hasPrefix("# top\n  # in comment\n# before relay\n"))
        let commented = try MasterEditor.commentOutEntries(["smtp/inet"], in: Array(Self.master.utf8))
        #expect(text(commented.bytes).hasPrefix("# top\n#smtp inet n - y - - smtpd\n  # in comment\n#  -o a=b\n# before relay\n"))
    }

    @Test func masterParametersAndFields() throws {
        func firstLines(_ result: EditResult, _ count: Int) -> String {
            text(result.bytes).split(separator: "\n").prefix(count).joined(separator: "\n")
        }
        let bytes = Array(Self.master.utf8)
        let line = "# top\nsmtp       inet  n       -       y       -       -       smtpd"
        // Postfix writes the entry behind the comments that follow it; here it stays in its place. It refuses white space in a value, which
        // { } makes possible.
        #expect(firstLines(try MasterEditor.setParameters(["smtp/inet/a=c"], in: bytes), 3) == line + "\n    -o a=c")
        #expect(firstLines(try MasterEditor.setParameters(["smtp/inet/a=c d"], in: bytes), 3) == line + "\n    -o {a=c d}")
        #expect(firstLines(try MasterEditor.setParameters(["smtp/inet/z="], in: bytes), 4) == line + "\n    -o a=b\n    -o z=")
        #expect(firstLines(try MasterEditor.removeParameters(["smtp/inet/a"], in: bytes), 3) == line + "\n  # in comment")
        #expect(
            firstLines(try MasterEditor.setFields(["smtp/inet/chroot=n"], in: bytes), 3)
                == line.replacing("y    ", with: "n    ") + "\n    -o a=b"
        )
        #expect(throws: EditError.self) { try MasterEditor.setFields(["smtp/inet/chroot=x"], in: bytes) }
        #expect(throws: EditError.self) { try MasterEditor.setFields(["smtp/inet/nosuch=x"], in: bytes) }
        #expect(throws: EditError.self) { try MasterEditor.setParameters(["smtp/fifo/a=b"], in: bytes) }
        #expect(throws: EditError.self) { try MasterEditor.setEntries(["smtp/unix=foo"], in: bytes) }
        #expect(throws: EditError.self) { try MasterEditor.setEntries(["smtp=foo"], in: bytes) }
    }
}
