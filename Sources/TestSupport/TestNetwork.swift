import Foundation
import Glibc
import Synchronization

/// A network of a test's own: a namespace for each member and one in their middle, which has the bridge that connects
/// them and from which clients call. Nothing outside of these namespaces is touched.
///
/// A way from one member to another is cut by giving the first a link-layer address for the second that nobody has:
/// what it sends is lost without a word, as on a broken line, and needs no packet filter in the kernel.
public final class TestNetwork: Sendable {
    public struct Failed: Error, CustomStringConvertible {
        public var description: String
    }

    /// Unique on the machine; the names of all namespaces begin with it.
    public let name: String
    public let members: Int

    private static let prefix = "martlet-"
    private static let made = Mutex(0)
    private static let nowhere = "02:00:00:00:ff:ff"
    /// The client's number on the network; members have theirs from 1.
    private static let hub = 254

    private static func program(_ name: String) -> String? {
        ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map { "\($0)/\(name)" }
            .first(where: FileManager.default.isExecutableFile)
    }

    /// Makes the namespaces, or says on standard output why the machine cannot and returns nil.
    public static func make(members: Int, for purpose: String) async throws -> TestNetwork? {
        guard program("ip") != nil else {
            print("skipped: \(purpose) (no `ip`; Debian's package is iproute2)")
            return nil
        }
        await removeLeftovers()
        let number = made.withLock {
            $0 += 1
            return $0
        }
        let network = TestNetwork("\(prefix)\(getpid())-\(number)", members)
        do {
            try await run(["netns", "add", network.namespace(hub)])
        } catch {
            print("skipped: \(purpose) (\(error))")
            return nil
        }
        do { try await network.build() } catch {
            await network.remove()
            throw error
        }
        return network
    }

    private init(_ name: String, _ members: Int) {
        self.name = name
        self.members = members
    }

    // MARK: Addresses

    /// The address of member `i`, counted from 0.
    public func host(_ i: Int) -> String { Self.address(i + 1) }

    /// The command in front of a program that is to run as member `i`.
    public func wrapper(_ i: Int) -> [String] {
        [Self.program("ip") ?? "ip", "netns", "exec", namespace(i + 1)]
    }

    private func namespace(_ number: Int) -> String { number == Self.hub ? "\(name)-hub" : "\(name)-m\(number)" }
    private static func address(_ number: Int) -> String { "10.77.0.\(number)" }
    private static func link(_ number: Int) -> String { "02:00:00:00:00:" + Hex.text([UInt8(number)]) }

    /// Moves the calling thread, with all sockets that it opens from now on, to where clients are. There is no way
    /// back: for threads that end with the test.
    public func enter() throws {
        let descriptor = open("/var/run/netns/\(namespace(Self.hub))", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failed(description: "no namespace \(namespace(Self.hub))") }
        defer { close(descriptor) }
        let networkNamespaces: Int32 = 0x4000_0000
        guard let setns = dlsym(nil, "setns") else { throw Failed(description: "no setns in the C library") }
        // SAFETY: that is its signature (setns(2)); Swift's view of the C library leaves it out.
        let call = unsafeBitCast(setns, to: (@convention(c) (Int32, Int32) -> Int32).self)
        guard call(descriptor, networkNamespaces) == 0 else {
            throw Failed(description: "setns: \(String(cString: strerror(errno)))")
        }
    }

    // MARK: Faults

    /// From now on nothing that `sender` sends reaches `receiver`. What goes the other way still does.
    public func cut(from sender: Int, to receiver: Int) async throws {
        try await point(sender + 1, receiver + 1, to: Self.nowhere)
    }

    /// Undoes all cuts.
    public func heal() async throws {
        for i in 1...members {
            for j in 1...members where i != j { try await point(i, j, to: Self.link(j)) }
        }
    }

    /// What a kernel can do to make a network slow, the best first.
    public enum Slowness: String, Sendable, CaseIterable {
        /// Each packet comes 30 ms later.
        case delay = "netem delay 30ms"
        /// Packets queue up behind a narrow line, and are dropped where 300 ms of them wait.
        case narrow = "tbf rate 1mbit burst 2kb latency 300ms"
    }

    /// Slows down whatever member `i` sends.
    /// - Returns: in what way; nil if the kernel can do neither.
    public func slowDown(_ i: Int) async throws -> Slowness? {
        for slowness in Slowness.allCases {
            let words = slowness.rawValue.split(separator: " ").map(String.init)
            if try await queue(i, "replace", words) { return slowness }
        }
        return nil
    }

    public func endSlowness(_ i: Int) async throws { _ = try await queue(i, "del", []) }

    private func queue(_ i: Int, _ verb: String, _ discipline: [String]) async throws -> Bool {
        guard let tc = Self.program("tc") else { return false }
        let arguments = ["-n", namespace(i + 1), "qdisc", verb, "dev", "eth0", "root"] + discipline
        return try await Subprocess.run(tc, arguments).status == 0
    }

    private func point(_ i: Int, _ j: Int, to link: String) async throws {
        try await Self.run(
            [
                "-n", namespace(i), "neigh", "replace", Self.address(j), "lladdr", link, "dev", "eth0", "nud",
                "permanent",
            ])
    }

    // MARK: Making and removing

    private func build() async throws {
        try await batch(
            Self.hub,
            [
                "link set lo up", "link add br0 address \(Self.link(Self.hub)) type bridge", "link set br0 up",
                "addr add \(Self.address(Self.hub))/24 dev br0",
            ])
        for i in 1...members {
            try await Self.run(["netns", "add", namespace(i)])
            try await batch(
                Self.hub,
                [
                    "link add port\(i) type veth peer name eth0 netns \(namespace(i))",
                    "link set port\(i) master br0", "link set port\(i) up",
                ])
            let others = (Array(1...members) + [Self.hub]).filter { $0 != i }
            try await batch(
                i,
                [
                    "link set lo up", "link set eth0 address \(Self.link(i))", "link set eth0 up",
                    "addr add \(Self.address(i))/24 dev eth0",
                ]
                    + others.map {
                        "neigh replace \(Self.address($0)) lladdr \(Self.link($0)) dev eth0 nud permanent"
                    })
        }
    }

    private func batch(_ number: Int, _ lines: [String]) async throws {
        let input = lines.joined(separator: "\n") + "\n"
        try await Self.run(["-n", namespace(number), "-batch", "-"], input: Array(input.utf8))
    }

    /// Removes the namespaces; with the last process in them their network is gone.
    public func remove() async {
        for number in Array(1...members) + [Self.hub] {
            try? await Self.run(["netns", "delete", namespace(number)])
        }
    }

    /// Removes the namespaces of test processes that were killed, and ends the members that still run in them.
    private static func removeLeftovers() async {
        guard let ip = program("ip"), let list = try? await Subprocess.run(ip, ["netns", "list"]).text else { return }
        for line in list.split(separator: "\n") {
            guard let name = line.split(separator: " ").first.map(String.init), name.hasPrefix(prefix),
                let owner = name.dropFirst(prefix.count).split(separator: "-").first.flatMap({ Int32($0) }),
                kill(owner, 0) != 0, errno == ESRCH
            else { continue }
            let inside = (try? await Subprocess.run(ip, ["netns", "pids", name]).text) ?? ""
            for pid in inside.split(separator: "\n").compactMap({ Int32($0) }) { kill(pid, SIGKILL) }
            try? await run(["netns", "delete", name])
        }
    }

    private static func run(_ arguments: [String], input: [UInt8] = []) async throws {
        guard let ip = program("ip") else { throw Failed(description: "no `ip`") }
        let result = try await Subprocess.run(ip, arguments, input: input, timeout: .seconds(20))
        guard result.status == 0 else {
            let said = result.errorText.trimmingCharacters(in: .whitespacesAndNewlines)
            throw Failed(description: "ip \(arguments.joined(separator: " ")): \(said)")
        }
    }
}
