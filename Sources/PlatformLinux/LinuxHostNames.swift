internal import Glibc
public import Platform

/// Asks the C library, and with it `/etc/hosts` and DNS as the system is set up.
public struct LinuxHostNames: HostNames {
    public init() {}

    public func addresses(of name: String) -> [String] {
        lookUp(name, flags: 0) { address in address.text(flags: NI_NUMERICHOST) }
    }

    public func name(of address: String) -> String? {
        lookUp(address, flags: AI_NUMERICHOST) { address in address.text(flags: NI_NAMEREQD) }.first
    }

    private func lookUp(_ host: String, flags: Int32, _ read: (borrowing Found) -> String?) -> [String] {
        var hints = addrinfo()
        hints.ai_flags = flags
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var texts: [String] = []
        var next = list
        // SAFETY: the list and the addresses in it live until freeaddrinfo above.
        while let entry = next {
            if let text = read(Found(address: entry.pointee.ai_addr, length: entry.pointee.ai_addrlen)) {
                texts.append(text)
            }
            next = entry.pointee.ai_next
        }
        return texts
    }

    /// An address in a list of the C library.
    private struct Found {
        // SAFETY: used only while the list lives that it is of.
        var address: UnsafeMutablePointer<sockaddr>
        var length: socklen_t

        func text(flags: Int32) -> String? {
            var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            guard getnameinfo(address, length, &name, socklen_t(name.count), nil, 0, flags) == 0 else { return nil }
            return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
}
