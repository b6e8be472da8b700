internal import Base

/// Whether the cluster is on its way down by a minor version: the members' programs are to be replaced by older ones.
public struct DowngradeInfo: Sendable, Hashable {
    public let isEnabled: Bool
    /// As the log says it, such as `3.6.0`; empty when there is none.
    public let targetText: String

    /// Nothing is under way.
    public static let none = DowngradeInfo(isEnabled: false, targetText: "")

    /// - Parameter targetText: as the log or the record says it; without a downgrade it counts for nothing.
    public init(isEnabled: Bool, targetText: String) {
        self.isEnabled = isEnabled
        self.targetText = isEnabled ? targetText : ""
    }

    /// Where it goes; nil when it goes nowhere, and when the text is no version.
    public var target: SemanticVersion? {
        isEnabled ? (try? SemanticVersion(parsing: targetText))?.majorMinor : nil
    }

    /// The record in bucket `cluster`, key `downgrade`.
    init?(_ document: JSON) {
        guard case .object = document else { return nil }
        self.init(
            isEnabled: document["enabled"] == .bool(true), targetText: document["target-version"]?.string ?? "")
    }

    var json: JSON {
        .object([.init("target-version", .string(targetText)), .init("enabled", .bool(isEnabled))])
    }
}
