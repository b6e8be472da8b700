public import Platform

extension SimDisk {
    public func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        try perform(.open, "open", path, note: mode == .read ? nil : path) { state, _ throws(DiskError) in
            let node = try SimDisk.findOrCreate(path, mode, in: &state)
            if mode == .truncate {
                let sequence = state.takeSequence()
                state.withFile(node) { $0.resize(to: 0, sequence: sequence) }
            }
            state.nextDescription += 1
            return SimFile(
                disk: self, node: node, path: path, writable: mode != .read, description: state.nextDescription)
        }
    }

    private static func findOrCreate(
        _ path: String, _ mode: OpenMode, in state: inout FileSystem
    ) throws(DiskError) -> Int {
        do throws(DiskError) {
            let node = try state.find(path, operation: "open")
            guard state.file(node) != nil else { throw DiskError(.isADirectory, operation: "open", path: path) }
            return node
        } catch {
            guard error.reason == .notFound, mode == .create || mode == .truncate else { throw error }
            let (parent, name) = try state.findParent(path, operation: "open")
            let node = state.add(.file(FileNode()))
            state.change([.init(directory: parent, name: name, node: node)])
            return node
        }
    }

    public func list(_ directory: String) throws(DiskError) -> [String] {
        try perform(.list, "open", directory) { state, _ throws(DiskError) in
            guard let entries = state.entries(of: try state.find(directory, operation: "open")) else {
                throw DiskError(.notADirectory, operation: "open", path: directory)
            }
            return entries.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
    }

    public func exists(_ path: String) throws(DiskError) -> Bool {
        try perform(.open, "stat", path) { state, _ throws(DiskError) in
            do throws(DiskError) {
                _ = try state.find(path, operation: "stat")
                return true
            } catch {
                if error.reason == .notFound { return false }
                throw error
            }
        }
    }

    public func createDirectory(_ path: String) throws(DiskError) {
        try perform(.createDirectory, "mkdir", path, note: path) { state, _ throws(DiskError) in
            let (parent, name) = try state.findParent(path, operation: "mkdir")
            guard state.entries(of: parent)?[name] == nil else {
                throw DiskError(.exists, operation: "mkdir", path: path)
            }
            let node = state.add(.directory(DirectoryNode()))
            state.change([.init(directory: parent, name: name, node: node)])
        }
    }

    public func rename(_ source: String, to destination: String) throws(DiskError) {
        let both = "\(source) \(destination)"
        try perform(.rename, "rename", both, note: both) { state, _ throws(DiskError) in
            let from = try state.findParent(source, operation: "rename")
            let to = try state.findParent(destination, operation: "rename")
            guard let node = state.entries(of: from.directory)?[from.name] else {
                throw DiskError(.notFound, operation: "rename", path: both)
            }
            let fromParts = FileSystem.components(source)
            let toParts = FileSystem.components(destination)
            if toParts.count > fromParts.count, toParts.starts(with: fromParts) {
                throw DiskError(.system(errno: 22, text: "invalid argument"), operation: "rename", path: both)
            }
            if fromParts.count > toParts.count, fromParts.starts(with: toParts) {
                throw DiskError(.directoryNotEmpty, operation: "rename", path: both)
            }
            if let old = state.entries(of: to.directory)?[to.name], old != node {
                try SimDisk.checkReplaceable(old, by: node, in: state, path: both)
            }
            if from.directory == to.directory && from.name == to.name { return }
            state.change([
                .init(directory: to.directory, name: to.name, node: node),
                .init(directory: from.directory, name: from.name, node: nil),
            ])
        }
    }

    /// A file goes over a file, a directory over an empty directory.
    private static func checkReplaceable(
        _ old: Int, by new: Int, in state: FileSystem, path: String
    ) throws(DiskError) {
        switch (state.entries(of: new), state.entries(of: old)) {
        case (nil, nil): break
        case (nil, _?): throw DiskError(.isADirectory, operation: "rename", path: path)
        case (_?, nil): throw DiskError(.notADirectory, operation: "rename", path: path)
        case (_?, let entries?):
            guard entries.isEmpty else { throw DiskError(.directoryNotEmpty, operation: "rename", path: path) }
        }
    }

    public func remove(_ path: String) throws(DiskError) {
        try perform(.remove, "remove", path, note: path) { state, _ throws(DiskError) in
            let node = try state.find(path, operation: "remove")
            if let entries = state.entries(of: node), !entries.isEmpty {
                throw DiskError(.directoryNotEmpty, operation: "remove", path: path)
            }
            let (parent, name) = try state.findParent(path, operation: "remove")
            state.change([.init(directory: parent, name: name, node: nil)])
        }
    }

    public func syncDirectory(_ path: String) throws(DiskError) {
        try perform(.syncDirectory, "fsync", path, note: path) { state, _ throws(DiskError) in
            let node = try state.find(path, operation: "open")
            guard state.entries(of: node) != nil else {
                throw DiskError(.notADirectory, operation: "open", path: path)
            }
            state.syncDirectory(node)
        }
    }
}
