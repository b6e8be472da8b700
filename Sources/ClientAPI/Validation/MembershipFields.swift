internal import Base
package import EtcdProto
internal import Member

/// What requests for changes of the membership ask of the member.
package enum MembershipFields {
    /// `MemberAddRequest`: `peerURLs` = 1, `isLearner` = 2. The URLs are checked and sorted, as etcd keeps them.
    static func addition(_ bytes: [UInt8]) throws -> ClientRequest.Body {
        var urls: [String] = []
        var isLearner = false
        var cursor = WireCursor(bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch field {
            case 1: urls.append(String(decoding: bytes[try value.bytes(of: field)], as: UTF8.self))
            case 2: isLearner = try value.varint(of: field) != 0
            default: break
            }
        }
        return .memberAdd(peerURLs: try checked(urls), isLearner: isLearner)
    }

    /// `MemberUpdateRequest`: `ID` = 1, `peerURLs` = 2.
    static func update(_ bytes: [UInt8]) throws -> ClientRequest.Body {
        var id = MemberID.none
        var urls: [String] = []
        var cursor = WireCursor(bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch field {
            case 1: id = MemberID(try value.varint(of: field))
            case 2: urls.append(String(decoding: bytes[try value.bytes(of: field)], as: UTF8.self))
            default: break
            }
        }
        return .memberUpdate(id, peerURLs: urls)
    }

    /// A request of nothing but an ID in field 1.
    static func id(_ bytes: [UInt8]) throws(WireError) -> MemberID {
        var id = MemberID.none
        var cursor = WireCursor(bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            if field == 1 { id = MemberID(try value.varint(of: field)) }
        }
        return id
    }

    /// The URLs, sorted, if each is `scheme://host:port` without a path.
    package static func checked(_ urls: [String]) throws(EtcdError) -> [String] {
        guard !urls.isEmpty, urls.allSatisfy(isPeerURL) else { throw .badMemberURLs }
        return urls.map { $0.trimming(" \t\n\r") }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private static func isPeerURL(_ url: String) -> Bool {
        let text = url.trimming(" \t\n\r")
        guard let separator = text.firstRange(of: "://") else { return false }
        let scheme = text[..<separator.lowerBound]
        let rest = text[separator.upperBound...]
        switch scheme {
        case "unix", "unixs": return !rest.isEmpty
        case "http", "https":
            guard let colon = rest.lastIndex(of: ":"), !rest.contains("/") else { return false }
            let port = rest[rest.index(after: colon)...]
            let host = rest[..<colon]
            let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
            return (isBracketed || !host.contains(":")) && port.allSatisfy { $0.isASCII && $0.isNumber }
        default: return false
        }
    }
}

extension String {
    fileprivate func trimming(_ characters: String) -> String {
        let head = drop { characters.contains($0) }
        guard let last = head.lastIndex(where: { !characters.contains($0) }) else { return "" }
        return String(head[...last])
    }
}
