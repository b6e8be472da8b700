import Base
import EtcdProto
import Foundation
import Glibc
import Logging
import MVCC
import Member
import NIOPosix
import PeerTransport
import Platform
import PlatformLinux
import RaftCore
import Synchronization
import TLS
import TestSupport
import Testing

/// A member that only notes what the transport brings.
final class FakeHost: PeerHost {
    private let reports = Mutex<[PeerReport]>([])
    private let takes = Mutex(true)
    let members: [MemberStatistics.Member]

    init(members: [MemberStatistics.Member] = []) { self.members = members }

    private let copy = Mutex<(@Sendable () throws -> BackendCopy)?>(nil)

    /// Whether it gives copies of a database to those who ask, and which.
    func give(_ copy: (@Sendable () throws -> BackendCopy)?) { self.copy.withLock { $0 = copy } }

    /// Whether it takes messages.
    func take(_ takes: Bool) { self.takes.withLock { $0 = takes } }

    func report(_ report: PeerReport, isIdle: Bool) -> Bool {
        guard takes.withLock({ $0 }) else { return false }
        reports.withLock { $0.append(report) }
        return true
    }

    func submit(_ requests: [ClientRequest], sink: any ResponseSink) -> Bool {
        var batch = ResponseBatch()
        for request in requests {
            switch request.body {
            case .memberPromote(let id, _):
                let error: EtcdError? = id == MemberID(7) ? nil : .memberNotFound
                batch.responses.append(.init(ticket: request.ticket, range: 0..<0, error: error))
            case .lease(let question): answer(question, request.ticket, &batch)
            case .snapshot:
                let copy = try? copy.withLock { $0 }?()
                let snapshot = copy.map { BackendSnapshot(copy: $0, storageVersion: "") }
                batch.responses.append(
                    .init(
                        ticket: request.ticket, range: 0..<0, error: snapshot == nil ? .stopped : nil,
                        snapshot: snapshot))
            default: batch.responses.append(.init(ticket: request.ticket, range: 0..<0))
            }
        }
        sink.deliver(batch)
        return true
    }

    /// Knows leases 56 and 57, does not lead when asked for 55, and is too slow for 58.
    private func answer(_ question: LeaseQuestion, _ ticket: UInt64, _ batch: inout ResponseBatch) {
        let error: EtcdError? =
            switch question.lease.rawValue {
            case 55: .notPrimaryLessor
            case 56, 57: nil
            case 58: .timeout
            default: .leaseNotFound
            }
        let start = batch.bytes.count
        if error == nil {
            batch.bytes +=
                question.kind == .keepAlive
                ? [0x10, 56, 0x18, 5] : [0x0a, 0, 0x10, 57, 0x18, 4, 0x20, 5, 0x2a, 1, 107]
        }
        batch.responses.append(.init(ticket: ticket, range: start..<batch.bytes.count, error: error))
    }

    func withStatistics(_ body: @escaping @Sendable (MemberStatistics) -> Void) -> Bool {
        var statistics = MemberStatistics()
        statistics.members = members
        statistics.clusterVersion = "3.5.0"
        body(statistics)
        return true
    }

    var messages: [Message] {
        reports.withLock { $0 }.flatMap { report -> [Message] in
            guard case .messages(let messages) = report else { return [] }
            return messages
        }
    }

    var all: [PeerReport] { reports.withLock { $0 } }

    func contains(_ matches: (PeerReport) -> Bool) -> Bool { reports.withLock { $0.contains(where: matches) } }
}

/// A transport on a port of its own, with a member that only takes notes.
final class TestPeer {
    let id: MemberID
    let port: Int
    let host: FakeHost
    let transport: RaftTransport
    /// What it has had to say.
    let log = RecordedLog()
    let directory: String
    static let clusterID = ClusterID(0xda30_57c8_06f9_5c7e)
    static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private static let diskThreads: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 2)
        pool.start()
        return pool
    }()

    private let scheme: String
    var url: String { "\(scheme)://127.0.0.1:\(port)" }

    /// - Parameters:
    ///   - security: the same for listening and dialling; nil for plain connections.
    ///   - dialling: nil for what follows from `security`.
    init(
        _ id: UInt64, clusterID: ClusterID = TestPeer.clusterID, version: String = "3.7.1",
        snapshotBytesPerSecond: UInt64 = 0, clock: any Clock = LinuxClock(), security: TLSSettings? = nil,
        dialling: ClientTLS? = nil
    ) async throws {
        scheme = security == nil ? "http" : "https"
        self.id = MemberID(id)
        port = LoopbackPorts.next()
        host = FakeHost(members: [
            .init(
                id: MemberID(id), name: "m", peerURLs: ["\(scheme)://127.0.0.1:\(port)"], clientURLs: ["c"],
                isLearner: true)
        ])
        directory = try PackageFiles.temporaryDirectory("peer")
        let handler = log
        let logger = Logger(label: "test") { _ in handler }
        transport = RaftTransport(
            .init(
                disk: LinuxDisk(), clock: clock, snapshotDirectory: directory, diskThreads: Self.diskThreads,
                snapshotBytesPerSecond: snapshotBytesPerSecond,
                listenTLS: try security.map {
                    try ServerTLS($0, offering: [], disk: LinuxDisk(), names: LinuxHostNames(), logger: logger)
                }, dialTLS: try dialling ?? security.map { try ClientTLS($0, disk: LinuxDisk(), logger: logger) }),
            eventLoop: Self.group.next(), logger: logger)
        let identity = PeerIdentity(
            localID: self.id, clusterID: clusterID, peerURLs: ["\(scheme)://127.0.0.1:\(port)"],
            version: try #require(PeerVersion(version)))
        try await transport.start(identity, host: host, listeningAt: [url])
    }

    /// Each is told of the other.
    /// - Returns: whether both have been reached.
    static func meet(_ a: TestPeer, _ b: TestPeer) async -> Bool {
        a.know(b)
        b.know(a)
        guard await a.reaches(b) else { return false }
        return await b.reaches(a)
    }

    /// Whether its member is told of a connection with `other`.
    func reaches(_ other: TestPeer) async -> Bool {
        await eventually {
            host.contains { if case .activity(other.id, .some) = $0 { true } else { false } }
        }
    }

    /// Where the database is that its member is told of; nil if none comes.
    func fetchedDatabase() async -> String? {
        var path: String?
        _ = await eventually {
            host.contains {
                if case .corruption(.databaseFetched(.success(let fetched))) = $0 { path = fetched }
                return path != nil
            }
        }
        return path
    }

    func know(_ others: TestPeer...) {
        var work = PeerWork()
        work.changes = others.map { .add($0.id, peerURLs: [$0.url]) }
        transport.carry(work)
    }

    func send(_ messages: Message...) {
        var work = PeerWork()
        work.messages = messages
        transport.carry(work)
    }

    /// What the transport has counted.
    func statistics() async -> NetworkStatistics {
        await withCheckedContinuation { done in transport.withStatistics { done.resume(returning: $0) } }
    }

    func stop() async {
        await transport.stop()
        try? FileManager.default.removeItem(atPath: directory)
    }

    var files: [String] { (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] }
}

/// Log lines of level `info` and above, kept to be looked at.
final class RecordedLog: LogHandler {
    private let kept = Mutex<[String]>([])

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .info }
        set {}
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        kept.withLock { $0.append("\(event.message)\(fields)") }
    }

    func lines(with text: String) -> [String] { kept.withLock { $0.filter { $0.contains(text) } } }
}

/// A backend file of more than one piece of a transfer.
enum LargeBackend {
    static func make(at path: String, on disk: any Disk) throws -> BackendFile {
        var options = BackendFile.Options()
        options.mapCapacity = 1 << 28
        let file = try BackendFile.open(path, on: disk, options: options)
        let backend = try Backend(try file.read())
        for n in 0..<48 as Range<UInt8> {
            backend.put([n], [UInt8](repeating: n, count: 64 << 10), in: .cluster)
        }
        if let batch = backend.freeze() { backend.committed(try batch.write(to: file)) }
        return file
    }
}

/// Waits for a condition, and says whether it came to hold.
func eventually(_ limit: Duration = .seconds(10), _ condition: () async -> Bool) async -> Bool {
    let deadline = ContinuousClock.now + limit
    while await !condition() {
        if ContinuousClock.now >= deadline { return false }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return true
}

/// A connection on which any bytes can be sent.
final class RawSocket {
    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw CocoaError(.fileReadUnknown) }
        var timeout = timeval(tv_sec: 3, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) { _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
    func send(_ text: String) { send(Array(text.utf8)) }
    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Whether the other side closes within three seconds, with nothing more to say.
    func isClosed() -> Bool {
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, 0) == 0
    }

    /// What comes until there is a whole response, the other side closes, or nothing more comes for three seconds.
    func response() -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count <= 0 { break }
            bytes += chunk[..<count]
            let text = String(decoding: bytes, as: UTF8.self)
            guard let end = text.firstRange(of: "\r\n\r\n") else { continue }
            let head = text[..<end.lowerBound].lowercased()
            if head.contains(" 204 ") { break }
            if let length = head.firstRange(of: "content-length: ") {
                let digits = head[length.upperBound...].prefix { $0.isNumber }
                if text[end.upperBound...].utf8.count >= Int(digits) ?? 0 { break }
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
