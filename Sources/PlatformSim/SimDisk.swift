internal import Base
public import Platform
internal import PlatformLinux
internal import Synchronization

/// A disk in memory that knows what a sync has covered and what not, that crashes, and that fails on command.
///
/// Files become durable by `syncData` or `sync`, names by `syncDirectory` of the directory that they stand in: a new
/// file's content can survive while its name does not, and the other way round. The disk starts with an empty root
/// directory. Every call takes one lock, so all threads may use it.
public final class SimDisk: Disk {
    let state: Mutex<FileSystem>
    private let onStall: @Sendable (Duration) -> Void

    /// - Parameter onStall: is told how long a call took that an injected fault held up. Called outside of the lock.
    public convenience init(onStall: @escaping @Sendable (Duration) -> Void = { _ in }) {
        self.init(FileSystem(), onStall: onStall)
    }

    private init(_ state: consuming sending FileSystem, onStall: @escaping @Sendable (Duration) -> Void) {
        self.state = Mutex(state)
        self.onStall = onStall
    }

    // MARK: Crashes and faults

    /// The disk that a machine finds after losing power now. This one stays as it is, so the same moment can be
    /// crashed under many policies. O(number of files and unsynced changes).
    public func crash(_ policy: CrashPolicy) -> SimDisk {
        let image = state.withLock { $0.crashed(policy) }
        return SimDisk(image, onStall: onStall)
    }

    /// How many calls of `syncData`, `sync` and `syncDirectory` there have been.
    public var syncCount: Int { state.withLock { $0.syncCount } }

    /// The `n`-th sync from the start of this disk, counted from 1, and every call after it, fails with `.stopped`
    /// and does nothing; nil takes that back.
    public func stop(atSync n: Int?) {
        state.withLock {
            $0.stopAtSync = n
            $0.stopped = false
        }
    }

    /// From now on every call fails with `.stopped`.
    public func stop() { state.withLock { $0.stopped = true } }

    public func inject(_ fault: Fault) { state.withLock { $0.faults.append(fault) } }

    public func clearFaults() { state.withLock { $0.faults = [] } }

    /// Flips one bit of a file (0…7 of the byte at `offset`), durably and unnoticed.
    public func flipBit(_ bit: Int, at offset: Int64, of path: String) throws(DiskError) {
        precondition((0..<8).contains(bit) && offset >= 0)
        try state.withLock { state throws(DiskError) in
            let node = try state.find(path, operation: "flip")
            guard state.file(node) != nil else { throw DiskError(.isADirectory, operation: "flip", path: path) }
            state.withFile(node) { $0.flip(bit: bit, at: Int(offset)) }
        }
    }

    /// Puts a file there, durable with its name, and the directories above it.
    public func install(_ bytes: [UInt8], at path: String) throws(DiskError) {
        try state.withLock { state throws(DiskError) in
            let parts = FileSystem.components(path)
            for i in 1..<max(1, parts.count) {
                let above = parts[..<i].joined(separator: "/")
                let (parent, name) = try state.findParent(above, operation: "install")
                if state.entries(of: parent)?[name] == nil {
                    let node = state.add(.directory(DirectoryNode()))
                    state.change([.init(directory: parent, name: name, node: node)])
                    state.syncDirectory(parent)
                }
            }
            let (parent, name) = try state.findParent(path, operation: "install")
            var content = SparseBytes()
            content.write(bytes[...], at: 0)
            let node = state.add(.file(FileNode(durable: content)))
            state.change([.init(directory: parent, name: name, node: node)])
            state.syncDirectory(parent)
        }
    }

    /// The whole content of a file, as programs see it.
    public func contents(of path: String) throws(DiskError) -> [UInt8] {
        try state.withLock { state throws(DiskError) in
            guard let file = state.file(try state.find(path, operation: "read")) else {
                throw DiskError(.isADirectory, operation: "read", path: path)
            }
            return file.current.read(at: 0, count: file.current.size)
        }
    }

    /// From now on notes each call that changes something, such as `write a/b 4096+512`.
    public func startRecording() { state.withLock { $0.recording = [] } }

    /// What was noted since `startRecording`.
    public var recording: [String] { state.withLock { $0.recording ?? [] } }

    // MARK: Every call

    /// What an injected fault changes about a call.
    struct Disturbance {
        var shortRead: Int?
        var failAfter: (bytes: Int, error: DiskError)?
    }

    /// Runs one call: stops and faults first, then `body`, under the lock.
    func perform<R>(
        _ operation: Fault.Operation, _ name: String, _ path: String, note: String? = nil,
        _ body: (inout FileSystem, Disturbance) throws(DiskError) -> R
    ) throws(DiskError) -> R {
        var stall: Duration?
        defer { if let stall { onStall(stall) } }
        return try state.withLock { state throws(DiskError) in
            if state.stopped { throw DiskError(.stopped, operation: name, path: path) }
            if operation == .sync || operation == .syncDirectory {
                state.syncCount += 1
                if let stopAt = state.stopAtSync, state.syncCount >= stopAt {
                    state.stopped = true
                    throw DiskError(.stopped, operation: name, path: path)
                }
            }
            if let note { state.recording?.append("\(name) \(note)") }
            var disturbance = Disturbance()
            switch SimDisk.takeFault(&state, operation, path) {
            case .fail(let reason)?: throw DiskError(reason, operation: name, path: path)
            case .failAfter(let bytes, let reason)?:
                disturbance.failAfter = (bytes, DiskError(reason, operation: name, path: path))
            case .shortRead(let count)?: disturbance.shortRead = count
            case .stall(let duration)?: stall = duration
            case nil: break
            }
            return try body(&state, disturbance)
        }
    }

    /// The first fault that hits this call; it counts down, and goes when it is used up.
    private static func takeFault(
        _ state: inout FileSystem, _ operation: Fault.Operation, _ path: String
    ) -> Fault.Effect? {
        for i in state.faults.indices where state.faults[i].matches(operation, path) {
            if state.faults[i].after > 0 {
                state.faults[i].after -= 1
                continue
            }
            let effect = state.faults[i].effect
            state.faults[i].times -= 1
            if state.faults[i].times == 0 { state.faults.remove(at: i) }
            return effect
        }
        return nil
    }
}
