extension Parameter {
    /// What is wrong with an expanded value, in one sentence; nil when it fits the parameter's type.
    package func problem(with value: String) -> String? {
        switch type {
        case .bool:
            return ["yes", "no"].contains(value.lowercased()) ? nil : "\(name) must be yes or no, not \"\(value)\""
        case .integer(let range):
            guard let number = DecimalNumber.parse(value) else { return "\(name) must be a number, not \"\(value)\"" }
            if range.contains(number) { return nil }
            return number < range.lowerBound
                ? "\(name) must be at least \(range.lowerBound), not \(value)" : "\(name) must be at most \(range.upperBound), not \(value)"
        case .time(let unit):
            return TimeValue.seconds(value, unit: unit) == nil
                ? "\(name) must be a time such as 30s, 5m, 2h or 1d, not \"\(value)\"" : nil
        case .choice(let words, let notYet):
            let word = value.lowercased()
            if words.contains(word) { return nil }
            if notYet.contains(word) { return "\(name) = \(value) is not implemented yet" }
            return "\(name) must be one of \(words.filter { !$0.isEmpty }.joined(separator: ", ")), not \"\(value)\""
        case .options(let words, let notYet):
            guard let odd = ListSyntax.elements(value).first(where: { !words.contains($0.lowercased()) }) else { return nil }
            if notYet.contains(odd.lowercased()) { return "\(name): \(odd) is not implemented yet" }
            return "\(name): \"\(odd)\" is not one of \(words.joined(separator: ", "))"
        case .list, .matchList, .tables, .restrictions:
            return ListSyntax.isBalanced(value) ? nil : "\(name): braces are not balanced in \"\(value)\""
        case .path, .template, .text:
            return value.utf8.contains(0) ? "\(name) contains a NUL byte" : nil
        }
    }

    /// Whether two valid values say the same in different words: `5m` and `300s`, `a, b` and `a b`.
    func means(_ left: String, theSameAs right: String) -> Bool {
        if left == right { return true }
        switch type {
        case .bool, .choice: return left.lowercased() == right.lowercased()
        case .integer: return DecimalNumber.parse(left) == DecimalNumber.parse(right)
        case .time(let unit): return TimeValue.seconds(left, unit: unit) == TimeValue.seconds(right, unit: unit)
        case .options, .list, .matchList, .tables, .restrictions: return ListSyntax.elements(left) == ListSyntax.elements(right)
        case .path, .template, .text: return false
        }
    }
}
