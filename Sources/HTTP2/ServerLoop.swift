internal import NIOCore

/// What all connections of one event loop share. Used on that loop only.
final class ServerLoop {
    let service: any GRPCService
    let configuration: ServerConfiguration
    let paths: PathTable
    /// What the next write is collected in. Its memory is used again once NIO has written it.
    var output = ByteBuffer()

    private let eventLoop: any EventLoop
    private var connections: [UInt32: ServerConnection] = [:]
    private var nextID: UInt32 = 0
    private var dirty: [ServerConnection] = []
    private var flushing: [ServerConnection] = []
    /// Connections are no longer taken.
    private(set) var isDraining = false

    init(eventLoop: any EventLoop, service: any GRPCService, configuration: ServerConfiguration) {
        self.eventLoop = eventLoop
        self.service = service
        self.configuration = configuration
        paths = PathTable(service: service)
    }

    /// Gives a connection its ID, which no other on this loop has had in the last 2^32 connections.
    /// - Returns: false when it must not be served.
    func register(_ make: (UInt32) throws -> ServerConnection) rethrows -> ServerConnection? {
        guard !isDraining, connections.count < configuration.maxConnectionsPerLoop else { return nil }
        while connections[nextID] != nil { nextID &+= 1 }
        let connection = try make(nextID)
        connections[nextID] = connection
        nextID &+= 1
        return connection
    }

    func unregister(_ connection: ServerConnection) { connections[connection.id] = nil }

    /// Writes what is queued on the connection, once everything that this turn of the loop brings has been queued.
    func scheduleFlush(_ connection: ServerConnection) {
        dirty.append(connection)
        if dirty.count > 1 { return }
        eventLoop.assumeIsolated().execute { [self] in
            swap(&dirty, &flushing)
            for connection in flushing { connection.flushNow() }
            flushing.removeAll(keepingCapacity: true)
        }
    }

    var connectionCount: Int { connections.count }

    /// Tells every client to go elsewhere and lets open calls finish.
    func drain() {
        isDraining = true
        for id in connections.keys.sorted() { connections[id]?.drain() }
    }

    func closeAll() {
        isDraining = true
        for id in connections.keys.sorted() { connections[id]?.close() }
    }
}

/// Remembers what the service said about the paths that clients call.
final class PathTable {
    /// Far more than the methods of etcd's services; what does not fit is asked for each time.
    static let limit = 256

    private let service: any GRPCService
    private var known: [(path: [UInt8], method: Int)] = []
    private var last = 0

    init(service: any GRPCService) { self.service = service }

    /// The method of a path that was resolved before.
    func method<Path: RandomAccessCollection<UInt8>>(of path: Path) -> Int? {
        if last < known.count, Self.equal(known[last].path, path) { return known[last].method }
        for (index, entry) in known.enumerated() where Self.equal(entry.path, path) {
            last = index
            return entry.method
        }
        return nil
    }

    /// Asks the service.
    func resolve(_ path: [UInt8]) throws(GRPCStatus) -> Int {
        let text = String(decoding: path, as: UTF8.self)
        let name = path.first == UInt8(ascii: "/") ? path[1...] : path[...]
        guard let slash = name.lastIndex(of: UInt8(ascii: "/")) else {
            throw GRPCStatus(code: GRPCStatus.unimplemented, message: "malformed method name: \"\(text)\"")
        }
        let service = String(decoding: name[..<slash], as: UTF8.self)
        switch self.service.resolve(path) {
        case .unary(let method):
            if known.count < Self.limit { known.append((path, method)) }
            return method
        case .unknownMethod:
            let method = String(decoding: name[(slash + 1)...], as: UTF8.self)
            throw GRPCStatus(
                code: GRPCStatus.unimplemented, message: "unknown method \(method) for service \(service)")
        case .unknownService:
            throw GRPCStatus(code: GRPCStatus.unimplemented, message: "unknown service \(service)")
        }
    }

    private static func equal<Path: RandomAccessCollection<UInt8>>(_ known: [UInt8], _ path: Path) -> Bool {
        known.count == path.count && known.elementsEqual(path)
    }
}
