internal import ClientAPI
internal import Logging

/// A member that runs in this process.
protocol RunningMember: MemberHandle {
    /// Ends all work, makes it durable and closes the files; blocks until that is done. To be called once.
    func stop()
}

/// Starts the member; the one place that knows how its settings follow from the flags.
enum MemberStart {
    /// - Parameters:
    ///   - onReady: called once, when clients may be served.
    ///   - onFailure: called once, with the reason, when the member cannot go on.
    static func start(
        _ configuration: ServerConfiguration, _ logger: Logger, onReady: @escaping @Sendable () -> Void,
        onFailure: @escaping @Sendable (String) -> Void
    ) throws -> any RunningMember {
        throw ValueError("this build has no member")
    }
}
