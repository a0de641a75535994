internal import NIOCore
internal import Synchronization

/// Where questions are handed in: answers from the cache, joins those who ask the same, and bounds what is under way.
///
/// One desk serves all loops, behind a lock that is held for dictionary work only: a cache per loop would ask each question once per loop
/// and bound nothing for the process. The sockets of a question live on the loop of whoever asks first.
final class QuestionDesk: Sendable {
    /// Strangers decide how many reverse look-ups there are, and how slow; they get a share, so that the relay's MX look-ups go on.
    enum Purpose: Sendable { case lookup, peer }

    private struct Waiter: Sendable {
        var continuation: CheckedContinuation<RecordAnswer, Never>
        var timer: Scheduled<Void>
    }

    private struct InFlight: Sendable {
        var purpose: Purpose
        var waiters: [UInt64: Waiter]
    }

    private struct State: Sendable {
        var cache: AnswerCache
        var inFlight: [DNSQuestion: InFlight] = [:]
        var peerQuestions = 0
        var nextWaiter: UInt64 = 0
        /// A server after the first that answered last, and until when to begin with it (nanoseconds).
        var preferred: (server: Int, until: UInt64) = (0, 0)
    }

    private enum Admission { case answered(RecordAnswer), joined, start(any EventLoop) }

    private static let preferenceNanoseconds: UInt64 = 30_000_000_000

    private let group: any EventLoopGroup
    private let configuration: ResolverConfiguration
    private let limits: ResolverLimits
    private let state: Mutex<State>

    init(group: any EventLoopGroup, configuration: ResolverConfiguration, limits: ResolverLimits) {
        self.group = group
        self.configuration = configuration
        self.limits = limits
        state = Mutex(State(cache: AnswerCache(limits: limits.cache)))
    }

    /// The number of questions under way.
    var outstanding: Int { state.withLock { $0.inFlight.count } }

    /// The cached answer, if there is one.
    func cached(_ question: DNSQuestion) -> RecordAnswer? {
        state.withLock { $0.cache.answer(to: question, now: NIODeadline.now().nanoseconds) }
    }

    /// Answers at once from the cache, else when the servers have, at the latest at `deadline`.
    func answer(to question: DNSQuestion, purpose: Purpose, deadline: NIODeadline) async -> RecordAnswer {
        if let answer = cached(question) { return answer }
        return await withCheckedContinuation { continuation in
            let id = state.withLock { state in
                state.nextWaiter += 1
                return state.nextWaiter
            }
            let loop = group.any()
            let timer = loop.scheduleTask(deadline: deadline) { self.expire(id, question) }
            switch admit(Waiter(continuation: continuation, timer: timer), id, question, purpose, loop: loop) {
            case .answered(let answer):
                timer.cancel()
                continuation.resume(returning: answer)
            case .joined: break
            case .start(let loop): ask(question, for: question, aliases: 0, timeToLive: .max, on: loop)
            }
        }
    }

    private func admit(_ waiter: Waiter, _ id: UInt64, _ question: DNSQuestion, _ purpose: Purpose, loop: any EventLoop) -> Admission {
        state.withLock { state in
            // It may have been answered between the first look and this one.
            if let answer = state.cache.answer(to: question, now: NIODeadline.now().nanoseconds) { return .answered(answer) }
            if state.inFlight[question] != nil {
                state.inFlight[question]?.waiters[id] = waiter
                return .joined
            }
            let isFull =
                switch purpose {
                case .lookup: state.inFlight.count >= limits.outstanding
                case .peer: state.inFlight.count >= limits.outstanding || state.peerQuestions >= limits.outstandingForPeers
                }
            if isFull { return .answered(.failure("too many outstanding questions")) }
            if purpose == .peer { state.peerQuestions += 1 }
            state.inFlight[question] = InFlight(purpose: purpose, waiters: [id: waiter])
            return .start(loop)
        }
    }

    /// The waiter leaves; the question goes on, and its answer reaches the cache.
    private func expire(_ id: UInt64, _ question: DNSQuestion) {
        let waiter = state.withLock { $0.inFlight[question]?.waiters.removeValue(forKey: id) }
        waiter?.continuation.resume(returning: .failure("no answer to \(question) in the time allowed"))
    }

    /// - Parameters:
    ///   - asked: the question to put: `question`, or the same for the target of its alias.
    ///   - timeToLive: the shortest of the aliases on the way, in seconds.
    private func ask(_ asked: DNSQuestion, for question: DNSQuestion, aliases: Int, timeToLive: UInt32, on loop: any EventLoop) {
        loop.execute {
            let exchange = DNSExchange(asked, configuration: self.configuration, first: self.firstServer(), loop: loop) { verdict, server in
                if let server { self.remember(server) }
                switch verdict {
                case .final(let answer, let own):
                    self.complete(question, with: answer, timeToLive: own.map { min($0, timeToLive) })
                case .alias(let target, let own) where aliases < DNSVerdict.maximumAliases:
                    let next = DNSQuestion(name: target, type: question.type)
                    self.ask(next, for: question, aliases: aliases + 1, timeToLive: min(own, timeToLive), on: loop)
                case .alias: self.complete(question, with: .failure("too many aliases"), timeToLive: nil)
                case .unusable(let reason): self.complete(question, with: .failure(reason), timeToLive: nil)
                case .withoutEDNS: self.complete(question, with: .failure("server refuses the question"), timeToLive: nil)
                }
            }
            exchange.start()
        }
    }

    private func complete(_ question: DNSQuestion, with answer: RecordAnswer, timeToLive: UInt32?) {
        let waiters = state.withLock { state in
            state.cache.insert(answer, to: question, timeToLive: timeToLive, now: NIODeadline.now().nanoseconds)
            guard let entry = state.inFlight.removeValue(forKey: question) else { return [Waiter]() }
            if entry.purpose == .peer { state.peerQuestions -= 1 }
            return Array(entry.waiters.values)
        }
        for waiter in waiters {
            waiter.timer.cancel()
            waiter.continuation.resume(returning: answer)
        }
    }

    private func firstServer() -> Int {
        if configuration.rotates { return Int.random(in: configuration.servers.indices) }
        return state.withLock { $0.preferred.until > NIODeadline.now().nanoseconds ? $0.preferred.server : 0 }
    }

    /// Begin with the server that works, for a while, instead of waiting for a dead one each time.
    private func remember(_ server: Int) {
        state.withLock { state in
            let now = NIODeadline.now().nanoseconds
            if server != 0, state.preferred.until <= now || state.preferred.server != server {
                state.preferred = (server, now + Self.preferenceNanoseconds)
            }
        }
    }
}

extension NIODeadline {
    /// Of the monotonic clock, never negative.
    fileprivate var nanoseconds: UInt64 { UInt64(max(0, (self - .uptimeNanoseconds(0)).nanoseconds)) }
}
