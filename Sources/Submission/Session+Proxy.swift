import MailLog
import NIOCore
import Restrictions
import SMTPCore

extension Session {
    /// `smtpd_upstream_proxy_protocol`: takes the header that comes before everything else, TLS included.
    /// - Returns: false when there was none in time; the connection is then closed, for who the client is can only be guessed.
    @inline(never)
    func takeProxyHeader() async -> Bool {
        let deadline = NIODeadline.now() + policy.proxy.timeout
        while true {
            let bytes = feeder.input.readableBytesView
            let parsing =
                bytes.isEmpty
                ? .incomplete : ProxyHeader.parse(bytes, acceptsIPv4: policy.acceptsIPv4, acceptsIPv6: policy.acceptsIPv6)
            switch parsing {
            case .complete(let header, let length):
                feeder.input.moveReaderIndex(forwardBy: length)
                if case .proxied(let client, let port, let server, _) = header {
                    (clientAddress, clientPort, serverAddress) = (client, port, "\(server)")
                    facts.clientAddress = client
                    facts.socketAddress = client
                }
                return true
            case .broken(let reason):
                await refuseProxy("\(reason): \(Self.escaped(bytes.prefix(100)))")
                return false
            case .incomplete:
                if feeder.hasEnded || NIODeadline.now() >= deadline {
                    await refuseProxy(feeder.hasEnded ? "EOF" : "timeout error")
                    return false
                }
                await feeder.wait(until: deadline)
            }
        }
    }

    private func refuseProxy(_ reason: String) async {
        log.warning("haproxy read: \(reason)")
        nameClient()
        log.info("connect from \(clientText)")
        await send(Reply(421, .init(4, 3, 0), "\(policy.host) Server local error", closes: true))
    }
}
