/// Why a value cannot be expanded.
package struct ExpansionError: Error, Sendable, Hashable {
    package let message: String
}

/// Expands `$name`, `${name}`, `$(name)`, `${name?text}`, `${name:text}`, `${name?{a}:{b}}` and `${{l} == {r} ? {a} : {b}}` (postconf(5)).
///
/// Expansion is recursive: the value that a name stands for is expanded in turn. A name that leads back to itself is an error, and so is a
/// result over `sizeLimit`, since nesting can double a text at each level.
package struct Expander {
    package static let sizeLimit = 1 << 20
    private static let depthLimit = 100

    /// The unexpanded value of a name; nil when it is undefined, which expands to nothing.
    private let lookup: (String) -> String?
    private var stack: [String] = []
    private var produced = 0
    private var depth = 0
    /// Names that were looked up and not found.
    package private(set) var undefined: Set<String> = []

    package init(lookup: @escaping (String) -> String?) { self.lookup = lookup }

    /// The text with all references replaced.
    package mutating func expand(_ text: String) throws(ExpansionError) -> String {
        // Nearly all values have no reference.
        guard text.utf8.contains(UInt8(ascii: "$")) else { return text }
        stack = []
        produced = 0
        depth = 0
        return String(decoding: try expand(MacroText(text)), as: UTF8.self)
    }

    private mutating func expand(_ text: MacroText) throws(ExpansionError) -> [UInt8] {
        guard depth < Self.depthLimit else { throw ExpansionError(message: "references are nested too deeply") }
        depth += 1
        defer { depth -= 1 }
        var out: [UInt8] = []
        for piece in try text.pieces() {
            switch piece {
            case .literal(let bytes): out += bytes
            case .reference(let reference): out += try value(of: reference)
            }
            if out.count > Self.sizeLimit { throw ExpansionError(message: "the expanded value is longer than \(Self.sizeLimit) bytes") }
        }
        // What is produced in all bounds the work, also of texts that are thrown away again.
        produced += out.count + 256
        if produced > 4 * Self.sizeLimit { throw ExpansionError(message: "expanding the value takes too many steps") }
        return out
    }

    private mutating func value(of reference: MacroReference) throws(ExpansionError) -> [UInt8] {
        switch reference {
        case .name(let name): return try value(ofName: name)
        case .conditional(let condition, let ifTrue, let ifFalse):
            let holds =
                switch condition {
                case .notEmpty(let name): try !value(ofName: name).isEmpty
                case .comparison(let left, let comparison, let right):
                    try comparison.holds(
                        String(decoding: try expand(left), as: UTF8.self),
                        String(decoding: try expand(right), as: UTF8.self)
                    )
                }
            guard let chosen = holds ? ifTrue : ifFalse else { return [] }
            return try expand(chosen)
        }
    }

    private mutating func value(ofName name: String) throws(ExpansionError) -> [UInt8] {
        if stack.contains(name) {
            throw ExpansionError(message: "$\(name) refers to itself: \((stack + [name]).joined(separator: " -> "))")
        }
        guard let raw = lookup(name) else {
            undefined.insert(name)
            return []
        }
        stack.append(name)
        defer { stack.removeLast() }
        return try expand(MacroText(raw))
    }
}

extension Expander {
    /// All names a text may refer to, whichever way its conditions turn out. Empty when the text has a syntax error.
    package static func references(in text: String) -> Set<String> {
        guard text.utf8.contains(UInt8(ascii: "$")) else { return [] }
        var names: Set<String> = []
        collect(MacroText(text), into: &names, depth: 0)
        return names
    }

    /// The names a text refers to without asking whether they are set.
    package static func plainReferences(in text: String) -> Set<String> {
        guard text.utf8.contains(UInt8(ascii: "$")) else { return [] }
        var names: Set<String> = []
        collect(MacroText(text), into: &names, depth: 0, conditions: false)
        return names
    }

    private static func collect(_ text: MacroText?, into names: inout Set<String>, depth: Int, conditions: Bool = true) {
        guard depth < depthLimit, let pieces = try? text?.pieces() else { return }
        for case .reference(let reference) in pieces {
            switch reference {
            case .name(let name): names.insert(name)
            case .conditional(let condition, let ifTrue, let ifFalse):
                var texts = [ifTrue, ifFalse]
                switch condition {
                case .notEmpty(let name): if conditions { names.insert(name) }
                case .comparison(let left, _, let right): texts += [left, right]
                }
                for text in texts { collect(text, into: &names, depth: depth + 1, conditions: conditions) }
            }
        }
    }
}
