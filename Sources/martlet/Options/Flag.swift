/// One of etcd's flags: how it is written, what it means, and where its value goes.
package struct Flag: Sendable {
    package enum Support: Sendable {
        /// Stores the value, which is of the flag's kind.
        case active(@Sendable (inout ServerConfiguration, FlagValue) -> Void)
        /// etcd has it, Martlet does not yet; its default value is accepted.
        case notYet
    }

    package var name: String
    package var kind: FlagKind
    package var defaultText: String
    /// The key in a configuration file, parts joined by points; empty when files cannot set it.
    package var fileKey: String
    package var summary: String
    package var support: Support

    /// `--snapshot-count` is `ETCD_SNAPSHOT_COUNT`.
    package var variable: String { Flag.variable(of: name) }

    package static func variable(of name: String) -> String {
        "ETCD_" + name.uppercased().replacing("-", with: "_")
    }

    package var isActive: Bool {
        if case .active = support { true } else { false }
    }
}

/// The flags of one heading of the help text.
package struct FlagSection: Sendable {
    package var title: String
    package var flags: [Flag]
}

extension Flag {
    package typealias Path<Value> = WritableKeyPath<ServerConfiguration, Value> & Sendable

    private static func active(
        _ kind: FlagKind, _ name: String, _ defaultText: String, _ summary: String, _ fileKey: String?,
        _ store: @escaping @Sendable (inout ServerConfiguration, FlagValue) -> Void
    ) -> Flag {
        Flag(
            name: name, kind: kind, defaultText: defaultText, fileKey: fileKey ?? name, summary: summary,
            support: .active(store))
    }

    static func bool(
        _ name: String, _ defaultText: String, _ path: any Path<Bool>, fileKey: String? = nil, _ summary: String
    ) -> Flag {
        active(.bool, name, defaultText, summary, fileKey) {
            if case .bool(let value) = $1 { $0[keyPath: path] = value }
        }
    }

    static func unsigned(
        _ name: String, _ defaultText: String, _ path: any Path<UInt64>, kind: FlagKind = .unsigned, _ summary: String
    ) -> Flag {
        active(kind, name, defaultText, summary, nil) {
            if case .unsigned(let value) = $1 { $0[keyPath: path] = value }
        }
    }

    static func signed(_ name: String, _ defaultText: String, _ path: any Path<Int64>, _ summary: String) -> Flag {
        active(.signed, name, defaultText, summary, nil) {
            if case .signed(let value) = $1 { $0[keyPath: path] = value }
        }
    }

    static func duration(
        _ name: String, _ defaultText: String, _ path: any Path<Duration>, fileKey: String? = nil, _ summary: String
    ) -> Flag {
        active(.duration, name, defaultText, summary, fileKey) {
            if case .duration(let value) = $1 { $0[keyPath: path] = value }
        }
    }

    static func text(
        _ name: String, _ defaultText: String, _ path: any Path<String>, kind: FlagKind = .text,
        fileKey: String? = nil, _ summary: String
    ) -> Flag {
        active(kind, name, defaultText, summary, fileKey) {
            if case .text(let value) = $1 { $0[keyPath: path] = value }
        }
    }

    static func list(
        _ name: String, _ defaultText: String, _ path: any Path<[String]>, fileKey: String? = nil, _ summary: String
    ) -> Flag {
        active(.list, name, defaultText, summary, fileKey) {
            if case .list(let value) = $1 { $0[keyPath: path] = value }
        }
    }

    static func urls(
        _ name: String, _ defaultText: String, _ path: any Path<[ServerURL]>, kind: FlagKind = .urls, _ summary: String
    ) -> Flag {
        active(kind, name, defaultText, summary, nil) {
            if case .urls(let value) = $1, !value.isEmpty || kind == .urlsOrNone { $0[keyPath: path] = value }
        }
    }

    static func gates(
        _ name: String, _ path: any Path<FeatureGates>, _ summary: String
    ) -> Flag {
        active(.gates, name, "", summary, nil) {
            if case .gates(let value) = $1 { $0[keyPath: path] = value }
        }
    }

    static func notYet(
        _ kind: FlagKind, _ name: String, _ defaultText: String, fileKey: String? = nil, _ summary: String
    ) -> Flag {
        Flag(
            name: name, kind: kind, defaultText: defaultText, fileKey: fileKey ?? name, summary: summary,
            support: .notYet)
    }
}
