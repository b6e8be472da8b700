/// The words of a command line in Go's syntax: `-x` is `--x`; `--x=v` or `--x v`; booleans stand alone or as
/// `--x=false`; the first word that is no flag, or `--`, ends the flags.
package struct ParsedArguments: Sendable, Equatable {
    package struct Setting: Sendable, Equatable {
        package var name: String
        package var text: String
    }

    package var settings: [Setting] = []
    /// Leftovers from before 3.0 that were given.
    package var ignored: [String] = []
    package var wantsHelp = false
    package var wantsVersion = false
    package var configFile: String?
    /// The first word that is no flag.
    package var positional: String?

    /// - Parameter arguments: without the program's name.
    /// - Throws: a refusal with etcd's words, exit code 2.
    package init(_ arguments: [String]) throws(Refusal) {
        var rest = arguments[...]
        while let word = rest.first {
            guard word.hasPrefix("-"), word != "-" else {
                positional = word
                return
            }
            rest.removeFirst()
            if word == "--" {
                positional = rest.first
                return
            }
            let body = word.dropFirst(word.hasPrefix("--") ? 2 : 1)
            guard let first = body.first, first != "-", first != "=" else {
                throw .usage("bad flag syntax: \(word)")
            }
            let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            try read(String(parts[0]), value: parts.count > 1 ? String(parts[1]) : nil, &rest)
        }
    }

    private mutating func read(
        _ name: String, value: String?, _ rest: inout ArraySlice<String>
    ) throws(Refusal) {
        switch name {
        case "help", "h":
            wantsHelp = true
        case "version":
            wantsVersion = try Self.boolean(name, value)
        case "config-file":
            configFile = try Self.value(name, value, &rest)
        case let name where FlagTable.ignored.contains(name):
            if value == nil && !FlagTable.ignoredBooleans.contains(name) { _ = try Self.value(name, nil, &rest) }
            ignored.append(name)
        default:
            guard let flag = FlagTable.flag(named: name) else { throw Self.unknown(name) }
            let text = flag.kind == .bool ? value ?? "true" : try Self.value(name, value, &rest)
            do throws(ValueError) {
                _ = try flag.kind.parse(text)
            } catch {
                let what = flag.kind == .bool ? "boolean value \"\(text)\" for" : "value \"\(text)\" for flag"
                throw .usage("invalid \(what) -\(name): \(error)")
            }
            settings.append(Setting(name: name, text: text))
        }
    }

    private static func value(
        _ name: String, _ value: String?, _ rest: inout ArraySlice<String>
    ) throws(Refusal) -> String {
        if let value { return value }
        guard let next = rest.popFirst() else { throw .usage("flag needs an argument: -\(name)") }
        return next
    }

    private static func boolean(_ name: String, _ value: String?) throws(Refusal) -> Bool {
        guard let value else { return true }
        do throws(ValueError) {
            return try FlagKind.bool.parse(value) == .bool(true)
        } catch {
            throw .usage("invalid boolean value \"\(value)\" for -\(name): \(error)")
        }
    }

    private static func unknown(_ name: String) -> Refusal {
        let words = "flag provided but not defined: -\(name)"
        let stem = "experimental-"
        if name.hasPrefix(stem) {
            let successor = String(name.dropFirst(stem.count))
            let hint = FlagTable.flag(named: successor) != nil ? "use --\(successor)" : "see --feature-gates"
            return .usage("\(words) (etcd 3.7 removed its experimental flags; \(hint))")
        }
        if name == "discovery" || name == "discovery-proxy" {
            return .usage("\(words) (etcd 3.7 removed v2 discovery)")
        }
        return .usage(words)
    }
}

/// A start that is refused, and how the process says so.
package enum Refusal: Error, Sendable, Equatable {
    /// The reason and a short usage on standard error, exit code 2.
    case usage(String)
    /// A log line `failed to verify flags` with the reason, exit code 1.
    case invalid(String)
    /// A fatal log line with fields, exit code 1.
    case fatal(String, [String: String])

    package var exitCode: Int32 {
        if case .usage = self { 2 } else { 1 }
    }
}
