/// The answer to one question, as the cache keeps it.
enum RecordAnswer: Sendable, Hashable {
    /// At least one record of the type asked for.
    case records([RecordData])
    case noData
    case noSuchDomain
    /// The text is for the log.
    case failure(String)
}

/// What a response means for the question it answers.
enum DNSVerdict: Sendable, Hashable {
    /// Seconds for which the answer may be kept; nil where the response gives no bound for a negative answer (RFC 2308 section 5).
    case final(RecordAnswer, timeToLive: UInt32?)
    /// The name is an alias and the response ends before the target's records.
    case alias(DomainName, timeToLive: UInt32)
    /// The server does not want the OPT record.
    case withoutEDNS
    /// The server cannot help; another one may.
    case unusable(String)

    /// More records than this of one answer are not kept: nobody tries a thousand addresses.
    static let maximumRecords = 128
    static let maximumAliases = 10
}

extension DNSMessage {
    /// Reads the answer to `question` out of a response that belongs to it.
    func verdict(for question: DNSQuestion) -> DNSVerdict {
        switch responseCode {
        case .noError, .noSuchDomain: break
        case .formatError, .notImplemented, .badVersion: return .withoutEDNS
        default: return .unusable("\(responseCode)")
        }
        var owner = question.name
        var timeToLive = UInt32.max
        for _ in 0...DNSVerdict.maximumAliases {
            let records = answers.filter { $0.name == owner && $0.type == question.type }
            if !records.isEmpty {
                for record in records { timeToLive = min(timeToLive, record.timeToLive) }
                return .final(.records(records.prefix(DNSVerdict.maximumRecords).map(\.data)), timeToLive: timeToLive)
            }
            guard let alias = answers.first(where: { $0.name == owner && $0.type == .cname }), case .name(let target) = alias.data else {
                return negative(question, owner: owner, aliasTimeToLive: timeToLive)
            }
            timeToLive = min(timeToLive, alias.timeToLive)
            owner = target
        }
        return .unusable("too many aliases")
    }

    private func negative(_ question: DNSQuestion, owner: DomainName, aliasTimeToLive: UInt32) -> DNSVerdict {
        var bound: UInt32?
        for record in authorities {
            if case .startOfAuthority(let minimum) = record.data { bound = min(record.timeToLive, minimum, aliasTimeToLive) }
        }
        if responseCode == .noSuchDomain { return .final(.noSuchDomain, timeToLive: bound) }
        if bound == nil, owner != question.name { return .alias(owner, timeToLive: aliasTimeToLive) }
        // Neither an answer nor an SOA, but somebody else's name servers: a referral, from a server that does not recurse.
        if bound == nil, !isAuthoritative, authorities.contains(where: { $0.type.rawValue == 2 }) { return .unusable("lame referral") }
        return .final(.noData, timeToLive: bound)
    }
}
