internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership

/// What entries tell of the cluster besides configuration changes, in either of the forms that members log: requests of
/// their own since 3.6, puts into the tree of the v2 API before.
enum ClusterNews: Equatable {
    /// A member's name and client URLs.
    case attributes(member: MemberID, name: String, clientURLs: [String])
    /// The version that all members speak, as text.
    case version(String)

    /// `ClusterVersionSetRequest`.
    init(version bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        var cursor = WireCursor(range)
        var text = ""
        while let (field, value) = try cursor.next(in: bytes.span) {
            if field == 1 { text = String(decoding: bytes[try value.bytes(field)], as: UTF8.self) }
        }
        self = .version(text)
    }

    /// `ClusterMemberAttrSetRequest`.
    init(attributes bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        var member = MemberID.none
        var name = ""
        var urls: [String] = []
        let span = bytes.span
        var cursor = WireCursor(range)
        while let (field, value) = try cursor.next(in: span) {
            if field == 1 { member = MemberID(try value.unsigned(field)) }
            guard field == 2 else { continue }
            var inner = WireCursor(try value.bytes(field))
            while let (field, value) = try inner.next(in: span) {
                guard field == 1 || field == 2 else { continue }
                let text = String(decoding: bytes[try value.bytes(field)], as: UTF8.self)
                if field == 1 { name = text } else { urls.append(text) }
            }
        }
        self = .attributes(member: member, name: name, clientURLs: urls)
    }

    /// `PUT /0/members/<id>/attributes` or `PUT /0/version`; nil for every other request, all of which concern only the
    /// v2 tree, which is not kept, and for one that cannot be read: it changed nothing in the tree either.
    init?(_ request: LegacyRequest) {
        guard request.method == "PUT" else { return nil }
        let parts = request.path.split(separator: "/")
        if parts == ["0", "version"] {
            self = .version(request.value)
        } else if parts.count == 4, parts[0] == "0", parts[1] == "members", parts[3] == "attributes",
            let id = UInt64(parts[2], radix: 16), let document = try? JSON.parse(Array(request.value.utf8))
        {
            self = .attributes(
                member: MemberID(id), name: document["name"]?.string ?? "",
                clientURLs: document["clientURLs"]?.array?.compactMap(\.string) ?? [])
        } else {
            return nil
        }
    }
}
