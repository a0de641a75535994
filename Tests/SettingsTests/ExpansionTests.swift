import Settings
import Testing

/// The expected values are what postconf -x of Postfix 3.7.11 prints.
@Suite struct ExpansionTests {
    private func expand(_ text: String, _ more: [String: String] = [:]) throws -> String {
        let names = ["a": "A", "e": "", "compatibility_level": "3.6"].merging(more) { $1 }
        var expander = Expander { names[$0] }
        return try expander.expand(text)
    }

    @Test(arguments: [
        ("$a|${a}|$(a)|$undefined|", "A|A|A||"), ("${a?yes}|${a:no}|${e?yes}|${e:no}", "yes|||no"),
        ("${a?{y y}}|${e:{n n}}|${a?{1}:{2}}|${e?{1}:{2}}", "y y|n n|1|2"), ("${a ? {1} : {2}}", "1"),
        ("${{$a} == {A} ? {eq} : {ne}}", "eq"), ("${{2} < {10} ? {num} : {lex}}", "num"), ("${{b} < {a} ? {1} : {2}}", "2"),
        ("${{3.6} <level {3.10} ? {lt} : {ge}}", "lt"), ("x$$y", "x$y"), ("${{a} == {a}}", "true"), ("${{a} != {a}}", ""),
        ("$a.$a-$a", "A.A-A"), ("${a?${e:deep}}", "deep"), ("${{a} == {a} ? {yes}}", "yes"), ("${{a} == {b} ? {yes}}", ""),
        ("${{a}=={b}?{1}:{2}}", "2"), ("${a?{1}:}", "1"), ("${e?{1}:2}", "2"), ("${a?b:c}", "b:c"), ("$(a?x)", "x"),
        ("${{$compatibility_level} <=level {3.6} ? {1} : {2}}", "1"), ("${{08} == {8} ? {1} : {2}}", "1"),
        ("${{-1} < {1} ? {1} : {2}}", "1"), ("$$a $$$a", "$a $A"), ("${ a }", "A"), ("${e ? {1}}|${e : {1}}", "|1"), ("", ""),
        ("plain", "plain"),
        ("${{10} >= {10} ? {1} : {2}}", "1"), ("${{3} >level {2.9} ? {1} : {2}}", "1"), ("${{3.6} >=level {3.6.0} ? {1} : {2}}", "1"),
    ])
    func expands(text: String, expected: String) throws {
        #expect(try expand(text) == expected)
    }

    @Test(arguments: [
        ("a $ b", "$ is not followed by a name; write $$ for a dollar sign"),
        ("a $", "$ is not followed by a name; write $$ for a dollar sign"),
        ("${a", "missing \"}\" after \"${\""), ("${a-b}", "\"?\", \":\" or the end of the reference is expected at \"-b\""),
        ("${a?{1} {2}}", "\":\" is expected at \"{2}\""), ("${{a} <> {b} ? {1} : {2}}", "\"{\" is expected at \"> {b} ? {1} : {2}\""),
        ("${}", "a reference has no name: \"\""), ("${{a}?{1}:{2}}", "one of == != < <= >= > is expected at \"?{1}:{2}\""),
        ("${{3} >=level {abc} ? {1}:{2}}", "\"abc\" is not a compatibility level"), ("$x", "$x refers to itself: x -> y -> x"),
    ])
    func rejects(text: String, message: String) {
        #expect(throws: ExpansionError.self) { try expand(text, ["x": "$y", "y": "1$x"]) }
        do { _ = try expand(text, ["x": "$y", "y": "1$x"]) } catch { #expect((error as? ExpansionError)?.message == message) }
    }

    @Test func expansionIsBounded() {
        var names: [String: String] = ["n0": String(repeating: "x", count: 100)]
        for level in 1...60 { names["n\(level)"] = "$n\(level - 1)$n\(level - 1)" }
        #expect(throws: ExpansionError.self) { try expand("$n60", names) }
        // The same, with a result that is thrown away each time.
        for level in 1...60 { names["n\(level)"] = "${n\(level - 1)?}${n\(level - 1)?}" }
        #expect(throws: ExpansionError.self) { try expand("$n60", names) }
        let deep = String(repeating: "${a?{", count: 50_000) + String(repeating: "}}", count: 50_000)
        #expect(throws: ExpansionError.self) { try expand(deep) }
    }

    @Test func references() {
        #expect(Expander.references(in: "$a ${b?{$c}:{${d}}} ${{$e} == {f} ? {$g}} $$h") == ["a", "b", "c", "d", "e", "g"])
        #expect(Expander.plainReferences(in: "$a ${b?{$c}} ${d:x}") == ["a", "c"])
        #expect(Expander.references(in: "${") == [])
    }
}
