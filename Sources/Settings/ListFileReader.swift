/// Reads the files that match lists name (`mynetworks = 127.0.0.0/8, /etc/postfix/networks`).
struct ListFileReader {
    private static let depthLimit = 10

    let readFile: @Sendable (String) -> Result<[UInt8], LoadEnvironment.FileProblem>
    /// The elements that stand for each `/file/name` (or `!/file/name`) element.
    private(set) var files: [String: [String]] = [:]
    private(set) var paths: [String] = []
    private(set) var diagnostics: [Diagnostic] = []

    init(readFile: @escaping @Sendable (String) -> Result<[UInt8], LoadEnvironment.FileProblem>) { self.readFile = readFile }

    /// Reads the files of all match lists that are set in a view.
    mutating func read(view: ParameterView) {
        var expander = view.expander()
        for row in ParameterTable.all where row.type == .matchList {
            guard let definition = view.definition(of: row.name), let value = try? expander.expand(definition.value) else { continue }
            for element in ListSyntax.elements(value) where Self.path(of: element) != nil && files[element] == nil {
                do throws(LoadEnvironment.FileProblem) {
                    files[element] = try elements(of: element, depth: 0)
                } catch {
                    // The words of Tables.FileText: what both find is said once.
                    diagnostics.append(Diagnostic(.error, error.message, at: definition.location))
                    files[element] = []
                }
            }
        }
    }

    /// `/file/name`, also behind `!`.
    private static func path(of element: String) -> String? {
        let bare = element.drop { $0 == "!" }
        return bare.hasPrefix("/") ? String(bare) : nil
    }

    /// The elements an element stands for. A `!` before a file name turns each of its elements round.
    private mutating func elements(of element: String, depth: Int) throws(LoadEnvironment.FileProblem) -> [String] {
        guard let path = Self.path(of: element) else { return [element] }
        guard depth < Self.depthLimit else { throw .init(message: "files name each other too deeply at \(path)") }
        let bytes: [UInt8]
        switch readFile(path) {
        case .success(let content): bytes = content
        case .failure(let problem): throw .init(message: "open \(path): \(problem.message)")
        }
        if !paths.contains(path) { paths.append(path) }
        let negated = (element.count - path.count) % 2 == 1
        var out: [String] = []
        for line in ConfigText(bytes).lines {
            for inner in ListSyntax.elements(line.text) {
                for found in try elements(of: inner, depth: depth + 1) {
                    out.append(negated ? found.hasPrefix("!") ? String(found.dropFirst()) : "!\(found)" : found)
                }
            }
        }
        return out
    }
}
