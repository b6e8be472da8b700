internal import ClientAPI
internal import Logging

/// A member that runs in this process.
protocol RunningMember: MemberHandle {
    /// Ends all work, makes it durable and closes the files.
    func stop() async
}

/// Starts the member; the one place that knows how its settings follow from the flags.
enum MemberStart {
    static func start(_ configuration: ServerConfiguration, _ logger: Logger) async throws -> any RunningMember {
        throw ValueError("this build has no member")
    }
}
