import Resolver
import Routing
import SMTPCore

/// Finds the places to connect to for a next hop, in the order in which they are to be tried (RFC 5321 section 5.1).
struct EndpointFinder: Sendable {
    let settings: ClientSettings
    let names: any NameService

    /// - Parameter text: one next hop, or several separated by commas or white space, tried from left to right.
    /// - Throws: why there is none; of several next hops, what the last one came to.
    func endpoints(for text: String) async throws(DeliveryFailure) -> [Endpoint] {
        var found: [Endpoint] = []
        var failure = DeliveryFailure(EnhancedStatusCode(4, 3, 5), "bad next hop \"\(text)\"")
        for part in NextHop.parts(of: text) {
            guard let nextHop = NextHop(part, dialect: settings.dialect, defaultPort: settings.defaultPort) else {
                failure = DeliveryFailure(EnhancedStatusCode(4, 3, 5), "bad next hop \"\(part)\"")
                continue
            }
            do throws(DeliveryFailure) { found += try await endpoints(for: nextHop) } catch { failure = error }
        }
        if found.isEmpty { throw failure }
        return settings.addressLimit > 0 ? Array(found.prefix(settings.addressLimit)) : found
    }

    private func endpoints(for nextHop: NextHop) async throws(DeliveryFailure) -> [Endpoint] {
        switch nextHop.target {
        case .unix(let path):
            let absolute = path.hasPrefix("/") ? path : "\(settings.queueDirectory)/\(path)"
            return [Endpoint(host: settings.myHostname, address: .unix(path: absolute, written: path))]
        case .host(let host): return try await hostEndpoints(try ascii(host), nextHop)
        case .domain(let written):
            let domain = try ascii(written)
            // An address without brackets is not a domain, but Postfix takes it.
            if IPAddress(domain) != nil || !settings.usesDNS { return try await hostEndpoints(domain, nextHop) }
            return try await exchangerEndpoints(domain, nextHop)
        }
    }

    /// A next hop that the DNS can be asked for. Recipients' domains have been looked at before; the configuration's have not.
    private func ascii(_ name: String) throws(DeliveryFailure) -> String {
        do throws(DomainEncoder.Problem) {
            return try settings.domainEncoder.asciiForm(of: name)
        } catch {
            throw DeliveryFailure(EnhancedStatusCode(4, 3, 5), "bad next hop \"\(name)\": \(error)")
        }
    }

    private func hostEndpoints(_ host: String, _ nextHop: NextHop) async throws(DeliveryFailure) -> [Endpoint] {
        switch await addresses(of: host, nextHop) {
        case .success(let endpoints):
            if nextHop.usesDefaultPort, endpoints.contains(where: isOwn) { throw Self.loop(host) }
            return endpoints
        case .failure(let failure): throw failure
        }
    }

    private func exchangerEndpoints(_ domain: String, _ nextHop: NextHop) async throws(DeliveryFailure) -> [Endpoint] {
        switch await names.mailExchangers(of: domain) {
        case .found(let exchangers):
            if exchangers.count == 1, exchangers[0].host.isEmpty {
                throw DeliveryFailure(EnhancedStatusCode(5, 1, 0), "Domain \(domain) does not accept mail (nullMX)")
            }
            return try await endpoints(of: exchangers, domain: domain, nextHop)
        case .noData: return try await hostEndpoints(domain, nextHop)
        case .noSuchDomain: throw Self.nameFailure(EnhancedStatusCode(5, 4, 4), domain, addressType, "Host not found")
        case .temporaryFailure:
            if settings.ignoresMXLookupErrors { return try await hostEndpoints(domain, nextHop) }
            throw Self.nameFailure(EnhancedStatusCode(4, 4, 3), domain, "MX", "Host not found, try again")
        }
    }

    private func endpoints(of exchangers: [MailExchanger], domain: String, _ nextHop: NextHop) async throws(DeliveryFailure) -> [Endpoint] {
        var found: [Endpoint] = []
        var failure: DeliveryFailure?
        // Bounded: a domain with hundreds of MX records must not cost hundreds of questions.
        for exchanger in inOrder(exchangers).prefix(20) {
            switch await addresses(of: exchanger.host, nextHop) {
            case .success(let endpoints):
                if nextHop.usesDefaultPort, endpoints.contains(where: isOwn) {
                    // We are an exchanger ourselves: only better ones may be tried, or the mail would go in circles.
                    let better = exchangers.filter { $0.preference < exchanger.preference }.map(\.host)
                    found.removeAll { !better.contains($0.host) }
                    if found.isEmpty { throw Self.loop(domain) }
                    return found
                }
                found += endpoints
            case .failure(let error):
                if failure == nil || !error.isPermanent { failure = error }
            }
        }
        guard found.isEmpty else { return found }
        let reason = failure ?? Self.nameFailure(EnhancedStatusCode(5, 4, 4), domain, addressType, "Host not found")
        throw settings.defersWithoutMXAddress ? reason.softened : reason
    }

    private func addresses(of host: String, _ nextHop: NextHop) async -> Result<[Endpoint], DeliveryFailure> {
        switch await names.addresses(of: host) {
        case .found(let addresses):
            let usable = ordered(addresses.filter { if case .v4 = $0 { settings.usesIPv4 } else { settings.usesIPv6 } })
            if usable.isEmpty { return .failure(noAddress(host)) }
            return .success(
                usable.map { Endpoint(host: host, address: .inet($0, port: nextHop.port), checksForLoop: nextHop.usesDefaultPort) }
            )
        case .noData: return .failure(noAddress(host))
        case .noSuchDomain: return .failure(Self.nameFailure(EnhancedStatusCode(5, 4, 4), host, addressType, "Host not found"))
        case .temporaryFailure:
            return .failure(Self.nameFailure(EnhancedStatusCode(4, 4, 3), host, addressType, "Host not found, try again"))
        }
    }

    /// The type that Postfix asks for last, and names when there is no address.
    private var addressType: String { settings.usesIPv6 ? "AAAA" : "A" }

    /// By preference; those of equal preference share the load.
    private func inOrder(_ exchangers: [MailExchanger]) -> [MailExchanger] {
        (settings.randomizesAddresses ? exchangers.shuffled() : exchangers).sorted { $0.preference < $1.preference }
    }

    private func ordered(_ addresses: [IPAddress]) -> [IPAddress] {
        let addresses = settings.randomizesAddresses ? addresses.shuffled() : addresses
        let v4 = addresses.filter { $0.bitWidth == 32 }
        let v6 = addresses.filter { $0.bitWidth == 128 }
        return switch settings.addressPreference {
        case .ipv4: v4 + v6
        case .ipv6: v6 + v4
        case .any: Bool.random() ? v4 + v6 : v6 + v4
        }
    }

    private func isOwn(_ endpoint: Endpoint) -> Bool {
        guard case .inet(let address, _) = endpoint.address else { return false }
        return settings.ownAddresses.contains(address.unmapped)
    }

    private static func loop(_ name: String) -> DeliveryFailure {
        DeliveryFailure(EnhancedStatusCode(5, 4, 6), "mail for \(name) loops back to myself")
    }

    private func noAddress(_ host: String) -> DeliveryFailure {
        Self.nameFailure(EnhancedStatusCode(5, 4, 4), host, addressType, "Host found but no data record of requested type")
    }

    private static func nameFailure(_ dsn: EnhancedStatusCode, _ name: String, _ type: String, _ reason: String) -> DeliveryFailure {
        DeliveryFailure(dsn, "Host or domain name not found. Name service error for name=\(name) type=\(type): \(reason)")
    }
}
