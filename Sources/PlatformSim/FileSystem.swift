internal import Base
internal import Platform

/// The state of a simulated disk; a value, so that a fork is a copy. Locked by its owner.
struct FileSystem: Sendable {
    static let root = 0

    private(set) var nodes: [Int: Node] = [root: .directory(DirectoryNode())]
    private var nextNode = 1
    private var nextSequence = 0
    /// Name space changes that no sync has covered, oldest first.
    private(set) var journal: [DirectoryChange] = []

    var syncCount = 0
    var stopAtSync: Int?
    var stopped = false
    var faults: [Fault] = []
    var recording: [String]?
    var nextDescription = 1

    mutating func takeSequence() -> Int {
        nextSequence += 1
        return nextSequence
    }

    // MARK: Names

    static func components(_ path: String) -> [String] {
        path.split(separator: "/").map(String.init).filter { $0 != "." }
    }

    func find(_ path: String, operation: String) throws(DiskError) -> Int {
        var node = FileSystem.root
        for name in FileSystem.components(path) {
            guard case .directory(let directory) = nodes[node] else {
                throw DiskError(.notADirectory, operation: operation, path: path)
            }
            guard let next = directory.current[name] else {
                throw DiskError(.notFound, operation: operation, path: path)
            }
            node = next
        }
        return node
    }

    /// The directory that holds the last part of `path`, and that part.
    func findParent(_ path: String, operation: String) throws(DiskError) -> (directory: Int, name: String) {
        var parts = FileSystem.components(path)
        guard let name = parts.popLast() else { throw DiskError(.exists, operation: operation, path: path) }
        let directory: Int
        do throws(DiskError) {
            directory = try find(parts.joined(separator: "/"), operation: operation)
        } catch {
            throw DiskError(error.reason, operation: operation, path: path)
        }
        guard case .directory = nodes[directory] else {
            throw DiskError(.notADirectory, operation: operation, path: path)
        }
        return (directory, name)
    }

    func entries(of directory: Int) -> [String: Int]? {
        if case .directory(let content) = nodes[directory] { content.current } else { nil }
    }

    mutating func change(_ assignments: [DirectoryChange.Assignment]) {
        for assignment in assignments { assign(assignment, durably: false) }
        journal.append(DirectoryChange(sequence: takeSequence(), assignments: assignments))
    }

    private mutating func assign(_ assignment: DirectoryChange.Assignment, durably: Bool) {
        guard case .directory(var directory) = nodes[assignment.directory] else { return }
        if durably {
            directory.durable[assignment.name] = assignment.node
        } else {
            directory.current[assignment.name] = assignment.node
        }
        nodes[assignment.directory] = .directory(directory)
    }

    mutating func add(_ node: Node) -> Int {
        let number = nextNode
        nextNode += 1
        nodes[number] = node
        return number
    }

    mutating func syncDirectory(_ directory: Int) {
        var rest: [DirectoryChange] = []
        for change in journal {
            if change.assignments.contains(where: { $0.directory == directory }) {
                for assignment in change.assignments { assign(assignment, durably: true) }
            } else {
                rest.append(change)
            }
        }
        journal = rest
    }

    // MARK: Files

    func file(_ node: Int) -> FileNode? {
        if case .file(let file) = nodes[node] { file } else { nil }
    }

    /// Changes a file in place; the dictionary's reference is dropped meanwhile, so nothing is copied.
    mutating func withFile<R, E: Error>(_ node: Int, _ body: (inout FileNode) throws(E) -> R) throws(E) -> R {
        guard case .file(var file) = nodes.removeValue(forKey: node) else {
            preconditionFailure("node \(node) is no file")
        }
        defer { nodes[node] = .file(file) }
        return try body(&file)
    }

    // MARK: Crash

    /// The disk after a power loss: everything on it durable, no fault, no lock, no mapping.
    func crashed(_ policy: CrashPolicy) -> FileSystem {
        let numbers = nodes.keys.sorted()
        var sequence = journal.map(\.sequence)
        for number in numbers { sequence += file(number)?.pending.map(\.sequence) ?? [] }
        var filter = CrashFilter(policy, sequence: sequence.sorted())
        var image = FileSystem()
        image.nodes = [:]
        image.nextNode = nextNode
        image.nextSequence = nextSequence
        for number in numbers {
            switch nodes[number] {
            case .file(let file): image.nodes[number] = .file(FileNode(durable: file.image(&filter)))
            case .directory(let directory):
                image.nodes[number] = .directory(
                    DirectoryNode(current: directory.durable, durable: directory.durable))
            case nil: preconditionFailure("node \(number) vanished")
            }
        }
        for change in journal where filter.keeps(change.sequence) {
            for assignment in change.assignments {
                image.assign(assignment, durably: true)
                image.assign(assignment, durably: false)
            }
        }
        image.dropUnreachable()
        return image
    }

    private mutating func dropUnreachable() {
        var reachable: Set<Int> = [FileSystem.root]
        var queue = [FileSystem.root]
        while let number = queue.popLast() {
            for child in (entries(of: number) ?? [:]).values where reachable.insert(child).inserted {
                queue.append(child)
            }
        }
        nodes = nodes.filter { reachable.contains($0.key) }
    }
}
