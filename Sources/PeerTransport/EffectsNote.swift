package import Base
internal import MVCC
package import Member

/// What Martlet members tell each other beside etcd's protocol: what entries did to their data, in a header of the
/// answer to a probe that asked for it. Format: docs/formats/peer.md, "The hash over effects".
package struct EffectsNote: Equatable, Sendable {
    package var cluster: ClusterID
    package var member: MemberID
    package var account: EffectsAccount

    package init(cluster: ClusterID, member: MemberID, account: EffectsAccount = EffectsAccount()) {
        self.cluster = cluster
        self.member = member
        self.account = account
    }

    /// What the one who asks puts into the same header of its request.
    static let question = String(EffectsHash.version)

    /// `1 da3057c806f95c7e 8e9e05c52164694d 2741 3000=f5a2b3c 4000=9e107d9d`.
    package var text: String {
        var text = "\(EffectsHash.version) \(cluster) \(member) \(account.origin)"
        for window in account.windows { text += " \(window.index)=\(String(window.hash, radix: 16))" }
        return text
    }

    /// Nil for what is no note of this version: another program's, or one that counts differently.
    package init?(_ text: String) {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        guard (4...4 + EffectsHash.remembered).contains(parts.count), parts[0] == Self.question,
            let cluster = UInt64(parts[1], radix: 16), let member = UInt64(parts[2], radix: 16),
            let origin = UInt64(parts[3])
        else { return nil }
        var windows: [EffectsHash.Window] = []
        for part in parts.dropFirst(4) {
            let sides = part.split(separator: "=", omittingEmptySubsequences: false)
            guard sides.count == 2, let index = UInt64(sides[0]), let hash = UInt32(sides[1], radix: 16), index > 0,
                index % EffectsHash.window == 0, windows.last.map({ $0.index.rawValue < index }) ?? true
            else { return nil }
            windows.append(EffectsHash.Window(index: LogIndex(index), hash: hash))
        }
        self.init(
            cluster: ClusterID(cluster), member: MemberID(member),
            account: EffectsAccount(origin: LogIndex(origin), windows: windows))
    }
}
