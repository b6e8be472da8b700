public import Platform

/// Something that is to go wrong with the next matching calls.
public struct Fault: Sendable {
    public enum Operation: Sendable, Hashable {
        case open, read, write, sync, allocate, truncate, rename, remove, createDirectory, syncDirectory, list, lock,
            map
    }

    public enum Effect: Sendable, Equatable {
        /// The call does nothing and fails.
        case fail(DiskError.Reason)
        /// A write stores this many of its bytes and then fails, as when a disk fills up under it.
        case failAfter(bytes: Int, DiskError.Reason)
        /// A read gives at most this many bytes.
        case shortRead(count: Int)
        /// The call takes this long: reported to the disk's stall hook, not waited for.
        case stall(Duration)
    }

    public var operation: Operation
    /// What the path must contain; nil for any path.
    public var path: String?
    /// How many matching calls pass before the first one that is hit.
    public var after: Int
    /// How many calls are hit.
    public var times: Int
    public var effect: Effect

    public init(_ operation: Operation, path: String? = nil, after: Int = 0, times: Int = 1, _ effect: Effect) {
        precondition(after >= 0 && times > 0)
        self.operation = operation
        self.path = path
        self.after = after
        self.times = times
        self.effect = effect
    }

    func matches(_ operation: Operation, _ path: String) -> Bool {
        guard operation == self.operation else { return false }
        guard let part = self.path else { return true }
        return path.utf8.count >= part.utf8.count && containsBytes(Array(path.utf8), Array(part.utf8))
    }
}

private func containsBytes(_ text: [UInt8], _ part: [UInt8]) -> Bool {
    guard text.count >= part.count else { return false }
    return (0...(text.count - part.count)).contains { text[$0..<($0 + part.count)].elementsEqual(part) }
}
