internal import NIOCore
internal import NIOPosix

/// A sink as a program: listens, prints or stores, until SIGINT or SIGTERM.
package struct SinkRun: Sendable {
    package enum Output: Sendable, Hashable {
        /// Messages are counted only.
        case none
        /// A summary of each message on standard output.
        case print
        /// A file for each message; numbers go on after those that are there.
        case store(directory: String)
    }

    package var configuration: SinkConfiguration
    package var output: Output
    /// The number of messages on standard output, each second in which it changes, and at the end.
    package var showsCount: Bool
    package var threads: Int

    package init(configuration: SinkConfiguration, output: Output, showsCount: Bool = false, threads: Int = 1) {
        self.configuration = configuration
        self.output = output
        self.showsCount = showsCount
        self.threads = threads
    }

    /// Blocks the calling thread. Every message that was answered with 250 has been printed or stored when this returns.
    package func untilTerminated() throws {
        let termination = try SinkConsole.catchTermination()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
        var configuration = configuration
        configuration.keepsMessages = false
        let sink = try listening(configuration, on: group)
        try SinkConsole.print("sink: listening on \(address(of: sink))\n")
        if showsCount { report(sink, on: group) }
        SinkConsole.waitForTermination(termination)
        if case .unix(let path) = configuration.endpoint { SinkConsole.removeFile(path) }
        if showsCount { try SinkConsole.print("sink: \(sink.count) messages\n") }
    }

    private func listening(_ configuration: SinkConfiguration, on group: any EventLoopGroup) throws -> SMTPSink {
        do {
            return try SMTPSink.bind(configuration, group: group, consumer: try consumer()).wait()
        } catch let error as IOError {
            throw SinkConsole.failure("cannot listen on \(configuration.endpoint)", error.errnoCode)
        }
    }

    private func address(of sink: SMTPSink) -> SinkEndpoint {
        if case .inet(let host, _) = configuration.endpoint { .inet(host: host, port: sink.port) } else { configuration.endpoint }
    }

    private func consumer() throws -> SMTPSink.Consumer? {
        switch output {
        case .none: return nil
        case .print: return { try SinkConsole.print($0.summary) }
        case .store(let directory):
            let offset = try SinkConsole.firstFreeNumber(in: directory) - 1
            return { try SinkConsole.store($0, number: offset + $0.number, in: directory) }
        }
    }

    private func report(_ sink: SMTPSink, on group: any EventLoopGroup) {
        let loop = group.next()
        let last = NIOLoopBoundBox.makeBoxSendingValue(0, eventLoop: loop)
        loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            let count = sink.count
            if count != last.value { try SinkConsole.print("sink: \(count) messages\n") }
            last.value = count
        }
    }
}
