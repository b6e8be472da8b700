internal import Foundation

/// What the process waits for once it runs.
enum ProcessEvent: Sendable {
    /// Clients may be served.
    case memberReady
    /// The member cannot go on, and why.
    case memberFailed(String)
    /// The cluster has removed the member.
    case memberRemoved
    case signal(TerminationSignals.Signal)
}

/// Catches what asks the process to end, and ends it that way once all is closed: whoever started the process sees that
/// it died by the signal, as with etcd.
struct TerminationSignals {
    struct Signal: Sendable {
        var number: Int32
        /// In Go's words, which stand in etcd's log.
        var name: String
    }

    private static let caught = [
        Signal(number: SIGTERM, name: "terminated"), Signal(number: SIGINT, name: "interrupt"),
    ]

    private let sources: [any DispatchSourceSignal]

    /// From here on the signals do nothing but call `handler`, and a closed socket is an error, not a signal.
    init(handler: @escaping @Sendable (Signal) -> Void) {
        signal(SIGPIPE, SIG_IGN)
        sources = Self.caught.map { caught in
            // The default action would end the process before the source hears of the signal.
            signal(caught.number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: caught.number)
            source.setEventHandler { handler(caught) }
            source.resume()
            return source
        }
    }

    /// Process 1 of a container cannot be ended by a signal with default action; it exits.
    func endProcess(by signal: Signal) -> Never {
        for source in sources { source.cancel() }
        if getpid() != 1 {
            Foundation.signal(signal.number, SIG_DFL)
            kill(getpid(), signal.number)
            // The signal is on its way to some thread of this process.
            sleep(1)
        }
        exit(0)
    }
}
