/// Names of TCP ports: `known_tcp_ports`, then /etc/services.
struct PortNames {
    private var ports: [String: UInt16] = [:]

    /// `known` has elements such as `smtp=25` and `smtps=submissions=465`.
    init(known: [String], services: ConfigText?) {
        for line in services?.lines ?? [] {
            let text = line.text.prefix { $0 != "#" }
            let words = ListSyntax.elements(text)
            guard words.count >= 2, words[1].hasSuffix("/tcp"), let port = UInt16(words[1].dropLast(4)) else { continue }
            for name in [words[0]] + words[2...] where ports[name] == nil { ports[name] = port }
        }
        for element in known {
            let words = element.split(separator: "=").map(String.init)
            guard let last = words.last, let port = UInt16(last) else { continue }
            for name in words.dropLast() { ports[name] = port }
        }
    }

    /// The number of a port given as a number or a name; nil if it is neither, or 0.
    func port(_ word: String) -> UInt16? {
        let port = word.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt16(word) : ports[word]
        return port == 0 ? nil : port
    }
}
