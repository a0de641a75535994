import Settings
import Tables

/// Turns the items of a list into rules, collecting every problem.
struct ListBuilder {
    let context: RuleContext
    /// nil while a session runs: what a table returns cannot name tables.
    let tables: TableRegistry?
    private(set) var diagnostics: [Diagnostic] = []

    init(context: RuleContext, tables: TableRegistry? = nil) {
        self.context = context
        self.tables = tables
    }

    /// - Parameter kind: which list; for a restriction class, the list that uses it is not known, and a bare table has no meaning.
    mutating func build(name: String, kind: ListKind?, items: [String], location: SourceLocation?) -> RestrictionList {
        var entries: [RestrictionList.Entry] = []
        var warns = false
        var index = 0
        var position = -1
        while index < items.count {
            let start = index
            position += 1
            let rules = next(items, &index, kind, name, location)
            guard let rules else {
                warns = true
                continue
            }
            let text = items[start..<index].joined(separator: " ")
            entries += rules.map { RestrictionList.Entry(index: position, text: text, rule: $0, isWarned: warns) }
            if ["permit", "reject", "defer"].contains(DomainName.folded(text)), !warns, index < items.count {
                diagnostics.append(Diagnostic(.warning, "restriction `\(items[index])' after `\(text)' is ignored", at: location))
                break
            }
            warns = false
        }
        return RestrictionList(name: name, entries: entries)
    }

    /// The rules of the item at `index`, which moves behind its arguments; nil for `warn_if_reject`. Empty after a problem.
    private mutating func next(_ items: [String], _ index: inout Int, _ kind: ListKind?, _ list: String, _ location: SourceLocation?)
        -> [any Rule]?
    {
        let item = items[index]
        index += 1
        if ListText.isTable(item) || item.first == "{" { return bareTable(item, kind, list, location) }
        // A class shadows nothing: Postfix looks for its own names first.
        guard let builder = RuleCatalog.builder(DomainName.folded(item)) else {
            if context.classNames.contains(item) { return [RestrictionClass(name: item)] }
            diagnostics.append(Diagnostic(.error, "unknown smtpd restriction: \"\(item)\"", at: location))
            return []
        }
        func argument(_ what: String) -> String? {
            guard index < items.count else {
                diagnostics.append(Diagnostic(.error, "restriction \(item) requires \(what)", at: location))
                return nil
            }
            index += 1
            return ListText.group(items[index - 1]) ?? items[index - 1]
        }
        switch builder {
        case .plain(let make): return [make(context)]
        case .warnIfReject: return nil
        case .expansion(let names):
            return names.compactMap { name in
                if case .plain(let make)? = RuleCatalog.builder(name) { make(context) } else { nil }
            }
        case .unlisted(let side):
            guard let check = context.unlisted else {
                if context.unlistedFailed { return [] }
                let text = "restriction \(item) is used in a table only: name it in a restriction list or class too"
                diagnostics.append(Diagnostic(.error, text, at: location))
                return []
            }
            return [RejectUnlistedAddress(side: side, check: check)]
        case .table(let make):
            guard let spec = argument("a lookup table"), let table = open(spec, location) else { return [] }
            return [make(table)]
        case .seconds:
            guard let text = argument("a number of seconds") else { return [] }
            guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let seconds = Int(text), seconds <= 3600 else {
                diagnostics.append(
                    Diagnostic(.error, "restriction \(item): \"\(text)\" is not a number of seconds up to 3600", at: location)
                )
                return []
            }
            return [Sleep(seconds: seconds)]
        case .notImplemented(let arguments):
            index = min(items.count, index + arguments)
            diagnostics.append(Diagnostic(.error, "restriction \(item) is not implemented yet", at: location))
            return []
        }
    }

    private mutating func bareTable(_ item: String, _ kind: ListKind?, _ list: String, _ location: SourceLocation?) -> [any Rule] {
        guard let table = open(ListText.group(item) ?? item, location) else { return [] }
        // In a class the meaning depends on the list at work.
        guard let kind else { return [ImplicitAccessCheck(table: table)] }
        guard let rule = RuleCatalog.implicitCheck(kind, table) else {
            diagnostics.append(Diagnostic(.error, "lookup table \(item) needs a check_*_access before it in \(list)", at: location))
            return []
        }
        return [rule]
    }

    private mutating func open(_ spec: String, _ location: SourceLocation?) -> (any LookupTable)? {
        guard let tables else {
            diagnostics.append(Diagnostic(.error, "lookup table \(spec) inside a table's result", at: location))
            return nil
        }
        do throws(ConfigurationError) {
            return try tables.open(spec, at: location)
        } catch {
            diagnostics += error.diagnostics
            return nil
        }
    }
}
