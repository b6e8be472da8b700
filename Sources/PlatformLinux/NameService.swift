internal import CResolv
internal import Glibc

/// A DNS record of type SRV (RFC 2782).
public struct ServiceRecord: Sendable, Hashable {
    public var priority: UInt16
    public var weight: UInt16
    public var port: UInt16
    /// The host's name without the point at its end.
    public var target: String

    public init(priority: UInt16, weight: UInt16, port: UInt16, target: String) {
        self.priority = priority
        self.weight = weight
        self.port = port
        self.target = target
    }
}

/// A name that could not be looked up.
public struct NameServiceError: Error, Sendable, Equatable, CustomStringConvertible {
    public var name: String
    public var reason: String

    public init(name: String, reason: String) {
        self.name = name
        self.reason = reason
    }

    public var description: String { "lookup \(name): \(reason)" }
}

/// What the system's name service says: servers, search domains and times are those of /etc/resolv.conf. Every call
/// blocks its thread, for some seconds when no server answers.
public enum NameService {
    /// The records of type SRV of a name, by rising priority, then falling weight; never empty.
    public static func serviceRecords(of name: String) throws(NameServiceError) -> [ServiceRecord] {
        let state = res_state.allocate(capacity: 1)
        defer { state.deallocate() }
        // SAFETY: the structure is C's, for which all bits zero is a value, and `state` has room for one. It is closed
        // before it is given back, and `answer` outlives the call that writes at most `count` bytes into it.
        UnsafeMutableRawPointer(state).initializeMemory(
            as: UInt8.self, repeating: 0, count: MemoryLayout<res_state.Pointee>.size)
        guard __res_ninit(state) == 0 else {
            throw NameServiceError(name: name, reason: "cannot read /etc/resolv.conf")
        }
        defer { __res_nclose(state) }
        var answer = [UInt8](repeating: 0, count: Int(NS_MAXMSG))
        let length = res_nsearch(
            state, name, CInt(ns_c_in.rawValue), CInt(ns_t_srv.rawValue), &answer, CInt(answer.count))
        guard length >= 0 else {
            throw NameServiceError(name: name, reason: reason(resolver: state.pointee.res_h_errno))
        }
        guard let records = records(in: answer.prefix(Int(length))) else {
            throw NameServiceError(name: name, reason: "the server's answer cannot be read")
        }
        guard !records.isEmpty else { throw NameServiceError(name: name, reason: "no such host") }
        return records.sorted {
            ($0.priority, $1.weight, $0.target, $0.port) < ($1.priority, $0.weight, $1.target, $1.port)
        }
    }

    /// The SRV records in the answer section of a DNS message; nil for what is no such message.
    package static func records(in message: ArraySlice<UInt8>) -> [ServiceRecord]? {
        let bytes = Array(message)
        return bytes.withUnsafeBufferPointer { bytes in
            guard let start = bytes.baseAddress else { return nil }
            // SAFETY: libc reads between `start` and its end, which `bytes` keeps alive; the data of a record, too,
            // lies between them, which `ns_parserr` has checked.
            let end = start + bytes.count
            var parsed = ns_msg()
            guard ns_initparse(start, CInt(bytes.count), &parsed) == 0 else { return nil }
            var records: [ServiceRecord] = []
            for i in 0..<CInt(parsed._counts.1) {
                var record = ns_rr()
                guard ns_parserr(&parsed, ns_s_an, i, &record) == 0 else { return nil }
                // Aliases (CNAME) on the way are among the answers, too.
                guard record.type == UInt16(ns_t_srv.rawValue) else { continue }
                guard let data = record.rdata, record.rdlength > serviceDataHead else { return nil }
                var name = [CChar](repeating: 0, count: Int(NS_MAXDNAME))
                guard dn_expand(start, end, data + serviceDataHead, &name, CInt(name.count)) >= 0 else { return nil }
                records.append(
                    ServiceRecord(
                        priority: UInt16(data[0]) << 8 | UInt16(data[1]),
                        weight: UInt16(data[2]) << 8 | UInt16(data[3]), port: UInt16(data[4]) << 8 | UInt16(data[5]),
                        target: String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)))
            }
            return records
        }
    }

    /// Priority, weight and port in front of the target.
    private static let serviceDataHead = 6

    private static func reason(resolver error: CInt) -> String {
        switch error {
        case HOST_NOT_FOUND, NO_DATA: "no such host"
        case TRY_AGAIN: "no answer from the name servers of /etc/resolv.conf"
        default: "server misbehaving"
        }
    }

    /// The numeric address of a host: the lowest in IPv4, or the lowest in IPv6 when it has none.
    public static func address(of host: String) throws(NameServiceError) -> String {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &list)
        // SAFETY: on success `list` is a chain that is ours until `freeaddrinfo`.
        guard status == 0, let head = list else {
            throw NameServiceError(name: host, reason: reason(addresses: status))
        }
        defer { freeaddrinfo(head) }
        var found: [(isIPv6: Bool, text: String)] = []
        for info in sequence(first: head, next: { $0.pointee.ai_next }) {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let named = getnameinfo(
                info.pointee.ai_addr, info.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            guard named == 0 else { continue }
            found.append(
                (
                    info.pointee.ai_family == AF_INET6,
                    String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                ))
        }
        let lowest = found.min { ($0.isIPv6 ? 1 : 0, $0.text) < ($1.isIPv6 ? 1 : 0, $1.text) }
        guard let lowest else { throw NameServiceError(name: host, reason: "no such host") }
        return lowest.text
    }

    /// EAI_NODATA, which <netdb.h> hides from those who do not ask for GNU's own.
    private static let hostWithoutAddress: CInt = -5

    private static func reason(addresses status: CInt) -> String {
        switch status {
        case EAI_NONAME, hostWithoutAddress: "no such host"
        case EAI_AGAIN: "no answer from the name servers of /etc/resolv.conf"
        default: String(cString: gai_strerror(status))
        }
    }
}
