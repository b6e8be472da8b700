internal import Foundation
package import Logging

/// Writes log lines in the shape that etcd's do, so that the tools which read those read these: a JSON object with
/// `level`, `ts`, `caller`, `msg` and the fields, or the same in columns.
package struct ZapLogHandler: LogHandler {
    package enum Format: Sendable {
        case json
        case console
    }

    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    private let writer: LogWriter
    private let format: Format
    /// Microseconds since 1970.
    private let now: @Sendable () -> Int64

    /// - Parameter now: microseconds since 1970-01-01 UTC.
    package init(
        writer: LogWriter, format: Format, level: Logger.Level, now: @escaping @Sendable () -> Int64 = Self.wallClock
    ) {
        self.writer = writer
        self.format = format
        self.now = now
        logLevel = level
    }

    package static let wallClock: @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1_000_000) }

    /// Of `--log-level`; `panic` and `fatal` leave only what ends the process.
    package static func level(named name: String) -> Logger.Level {
        switch name {
        case "debug": .debug
        case "warn": .warning
        case "error": .error
        case "panic", "fatal": .critical
        default: .info
        }
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var fields = metadata
        if let own = event.metadata { fields.merge(own) { $1 } }
        writer.write(
            line(
                level: event.level, message: event.message.description, fields: fields, file: event.file,
                line: event.line))
    }

    package func line(level: Logger.Level, message: String, fields: Logger.Metadata, file: String, line: UInt)
        -> [UInt8]
    {
        var out: [UInt8] = []
        out.reserveCapacity(256)
        // Metadata has no order of its own; sorted keys make lines comparable.
        let sorted = fields.sorted { $0.key < $1.key }
        switch format {
        case .json:
            out += Array(#"{"level":""#.utf8) + Array(Self.name(of: level).utf8) + Array(#"","ts":""#.utf8)
            LogTime.append(microseconds: now(), to: &out)
            out += Array(#"","caller":"#.utf8)
            JSONText.append("\(file):\(line)", to: &out)
            out += Array(#","msg":"#.utf8)
            JSONText.append(message, to: &out)
            for (key, value) in sorted {
                out.append(UInt8(ascii: ","))
                Self.append(key, value, to: &out)
            }
            out.append(UInt8(ascii: "}"))
        case .console:
            LogTime.append(microseconds: now(), to: &out)
            out += Array("\t\(Self.name(of: level))\t\(file):\(line)\t\(message)".utf8)
            if !sorted.isEmpty {
                out += Array("\t{".utf8)
                for (i, (key, value)) in sorted.enumerated() {
                    if i > 0 { out += Array(", ".utf8) }
                    Self.append(key, value, to: &out)
                }
                out.append(UInt8(ascii: "}"))
            }
        }
        out.append(UInt8(ascii: "\n"))
        return out
    }

    private static func append(_ key: String, _ value: Logger.MetadataValue, to out: inout [UInt8]) {
        JSONText.append(key, to: &out)
        out.append(UInt8(ascii: ":"))
        append(value, to: &out)
    }

    /// Numbers and booleans stay what they are; everything else is text.
    private static func append(_ value: Logger.MetadataValue, to out: inout [UInt8]) {
        switch value {
        case .string(let text):
            JSONText.append(text, to: &out)
        case .stringConvertible(let value):
            switch value {
            case let number as any BinaryInteger: out += Array(number.description.utf8)
            case let flag as Bool: out += Array(flag.description.utf8)
            case let number as Double where number.isFinite: out += Array(number.description.utf8)
            default: JSONText.append(value.description, to: &out)
            }
        case .array(let values):
            out.append(UInt8(ascii: "["))
            for (i, value) in values.enumerated() {
                if i > 0 { out.append(UInt8(ascii: ",")) }
                append(value, to: &out)
            }
            out.append(UInt8(ascii: "]"))
        case .dictionary(let fields):
            out.append(UInt8(ascii: "{"))
            for (i, (key, value)) in fields.sorted(by: { $0.key < $1.key }).enumerated() {
                if i > 0 { out.append(UInt8(ascii: ",")) }
                append(key, value, to: &out)
            }
            out.append(UInt8(ascii: "}"))
        }
    }

    private static func name(of level: Logger.Level) -> String {
        switch level {
        case .trace, .debug: "debug"
        case .info, .notice: "info"
        case .warning: "warn"
        case .error: "error"
        case .critical: "fatal"
        }
    }
}

/// Text as JSON writes it.
enum JSONText {
    static func append(_ text: String, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                out.append(UInt8(ascii: "\\"))
                out.append(byte)
            case UInt8(ascii: "\n"): out += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
            case UInt8(ascii: "\r"): out += [UInt8(ascii: "\\"), UInt8(ascii: "r")]
            case UInt8(ascii: "\t"): out += [UInt8(ascii: "\\"), UInt8(ascii: "t")]
            case 0..<0x20:
                out += Array("\\u00".utf8)
                out.append(byte < 0x10 ? UInt8(ascii: "0") : UInt8(ascii: "1"))
                out.append(hexDigit(byte & 15))
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }

    private static func hexDigit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
    }
}
