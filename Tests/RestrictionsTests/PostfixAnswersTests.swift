import PosternTesting
import Testing

/// What Postfix 3.7.11 answered, and what we answer.
struct PostfixAnswersTests {
    @Test(arguments: ["rules", "access"])
    func sameReplyAsPostfix(_ file: String) async throws {
        let cases = try CaseFile.cases(file)
        try #require(cases.count > 50)
        for one in cases {
            let comment = Comment(rawValue: one.testDescription)
            var player = try CasePlayer(one.settings, names: ScriptedNameService())
            let answer = try await player.play(one.facts)
            #expect(answer == one.expected, comment)
        }
    }
}
