internal import Platform
internal import PlatformLinux
internal import Synchronization

/// An open file of a simulated disk. Removing or renaming the file does not disturb it.
final class SimFile: DiskFile {
    private let disk: SimDisk
    private let node: Int
    let path: String
    private let writable: Bool
    /// The number of this open description, which locks belong to.
    private let description: Int
    private let closed = Atomic<Bool>(false)

    init(disk: SimDisk, node: Int, path: String, writable: Bool, description: Int) {
        self.disk = disk
        self.node = node
        self.path = path
        self.writable = writable
        self.description = description
    }

    deinit {
        if !closed.load(ordering: .acquiring) { releaseLocks() }
    }

    private func perform<R>(
        _ operation: Fault.Operation, _ name: String, changes: Bool = false, note: String? = nil,
        _ body: (inout FileSystem, SimDisk.Disturbance) throws(DiskError) -> R
    ) throws(DiskError) -> R {
        guard !closed.load(ordering: .acquiring) else { throw DiskError(.closed, operation: name, path: path) }
        guard writable || !changes else {
            throw DiskError(.system(errno: 9, text: "bad file descriptor"), operation: name, path: path)
        }
        return try disk.perform(operation, name, path, note: note, body)
    }

    func size() throws(DiskError) -> Int64 {
        try perform(.open, "fstat") { state, _ in Int64(state.file(node)?.current.size ?? 0) }
    }

    func read(at offset: Int64, count: Int) throws(DiskError) -> [UInt8] {
        precondition(offset >= 0 && count >= 0)
        return try perform(.read, "read") { state, disturbance in
            state.file(node)?.current.read(at: Int(offset), count: min(count, disturbance.shortRead ?? count)) ?? []
        }
    }

    func write(_ bytes: RawSpan, at offset: Int64) throws(DiskError) {
        precondition(offset >= 0)
        let data = bytes.copyBytes()
        let note = "\(path) \(offset)+\(data.count)"
        try perform(.write, "write", changes: true, note: note) { state, disturbance throws(DiskError) in
            let sequence = state.takeSequence()
            let stored = disturbance.failAfter.map { Array(data.prefix($0.bytes)) } ?? data
            state.withFile(node) { $0.write(stored, at: Int(offset), sequence: sequence) }
            if let error = disturbance.failAfter?.error { throw error }
        }
    }

    func syncData() throws(DiskError) {
        try perform(.sync, "fdatasync", note: path) { state, _ in state.withFile(node) { $0.sync() } }
    }

    func sync() throws(DiskError) {
        try perform(.sync, "fsync", note: path) { state, _ in state.withFile(node) { $0.sync() } }
    }

    func allocate(upTo length: Int64) throws(DiskError) {
        try perform(.allocate, "fallocate", changes: true, note: "\(path) \(length)") { state, _ in
            let sequence = state.takeSequence()
            state.withFile(node) { file in
                if Int(length) > file.current.size { file.resize(to: Int(length), sequence: sequence) }
            }
        }
    }

    func truncate(to length: Int64) throws(DiskError) {
        precondition(length >= 0)
        try perform(.truncate, "truncate", changes: true, note: "\(path) \(length)") { state, _ in
            let sequence = state.takeSequence()
            state.withFile(node) { $0.resize(to: Int(length), sequence: sequence) }
        }
    }

    func lock(_ kind: LockKind) throws(DiskError) {
        let name = kind == .flock ? "flock" : "fcntl"
        try perform(.lock, name) { state, _ throws(DiskError) in
            try state.withFile(node) { file throws(DiskError) in
                guard file.locks[kind, default: description] == description else {
                    throw DiskError(.locked, operation: name, path: path)
                }
                file.locks[kind] = description
            }
        }
    }

    func map(capacity: Int) throws(DiskError) -> any DiskMapping {
        try perform(.map, "mmap") { state, _ throws(DiskError) in
            let memory = try ReservedMemory(capacity: capacity)
            state.withFile(node) { $0.map(memory) }
            return memory
        }
    }

    func close() throws(DiskError) {
        guard !closed.exchange(true, ordering: .acquiringAndReleasing) else {
            throw DiskError(.closed, operation: "close", path: path)
        }
        releaseLocks()
    }

    /// Works on a stopped disk too, as the kernel does when a process ends.
    private func releaseLocks() {
        disk.state.withLock { state in
            state.withFile(node) { file in
                for kind in [LockKind.flock, .openFileDescription] where file.locks[kind] == description {
                    file.locks[kind] = nil
                }
            }
        }
    }
}
