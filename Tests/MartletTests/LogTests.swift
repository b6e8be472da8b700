import Foundation
import Logging
import Testing
import martlet

/// The shape of log lines, to the byte.
@Suite struct LogTests {
    /// 2026-11-23T22:26:06.123456Z.
    private static let moment: Int64 = 1_795_472_766_123_456

    private func line(
        _ format: ZapLogHandler.Format, _ level: Logger.Level, _ message: String, _ fields: Logger.Metadata = [:]
    ) -> String {
        let handler = ZapLogHandler(
            writer: LogWriter(outputs: []), format: format, level: .debug, now: { Self.moment })
        return String(
            decoding: handler.line(level: level, message: message, fields: fields, file: "Member/Loop.swift", line: 7),
            as: UTF8.self)
    }

    @Test func json() {
        let fields: Logger.Metadata = [
            "name": "n\"1", "count": .stringConvertible(5), "on": .stringConvertible(true),
            "urls": ["http://a:1", "http://b:2"], "took": .stringConvertible(1.5), "nested": ["b": "2", "a": "1"],
        ]
        #expect(
            line(.json, .info, "ready to serve client requests", fields)
                == #"{"level":"info","ts":"2026-11-23T22:26:06.123456Z","caller":"Member/Loop.swift:7","#
                + #""msg":"ready to serve client requests","count":5,"name":"n\"1","nested":{"a":"1","b":"2"},"#
                + #""on":true,"took":1.5,"urls":["http://a:1","http://b:2"]}"# + "\n")
    }

    @Test func console() {
        #expect(
            line(.console, .warning, "slow", ["took": "1s"])
                == "2026-11-23T22:26:06.123456Z\twarn\tMember/Loop.swift:7\tslow\t{\"took\":\"1s\"}\n")
        #expect(line(.console, .error, "x") == "2026-11-23T22:26:06.123456Z\terror\tMember/Loop.swift:7\tx\n")
    }

    @Test(arguments: [
        (Logger.Level.trace, "debug"), (.debug, "debug"), (.info, "info"), (.notice, "info"), (.warning, "warn"),
        (.error, "error"), (.critical, "fatal"),
    ])
    func levels(_ level: Logger.Level, _ name: String) {
        #expect(line(.json, level, "x").hasPrefix(#"{"level":"\#(name)","#))
    }

    @Test func escapesWhatJSONCannotHold() throws {
        let text = line(.json, .info, "a\n\t\u{1}\u{1f}\\\"é", ["k\n": "v\r"])
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: String]
        #expect(object?["msg"] == "a\n\t\u{1}\u{1f}\\\"é")
        #expect(object?["k\n"] == "v\r")
        #expect(text.filter { $0 == "\n" }.count == 1)
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000000Z"), (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"), (-1, "1969-12-31T23:59:59.999999Z"),
        (1_709_208_000_000_001, "2024-02-29T12:00:00.000001Z"),
    ])
    func moments(_ microseconds: Int64, _ text: String) {
        var bytes: [UInt8] = []
        LogTime.append(microseconds: microseconds, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == text)
    }

    @Test func writesToFilesLineByLine() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID()).log").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let writer = try LogWriter(names: [path])
        var logger = Logger(label: "t") { _ in
            ZapLogHandler(writer: writer, format: .json, level: .info, now: { Self.moment })
        }
        logger[metadataKey: "member"] = "1"
        logger.debug("not this")
        logger.info("one")
        logger.error("two", metadata: ["member": "2"])
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines[0].hasSuffix(#""msg":"one","member":"1"}"#))
        #expect(lines[1].hasSuffix(#""msg":"two","member":"2"}"#))
        #expect(lines[0].contains(#""caller":"MartletTests/LogTests.swift:"#))
        #expect(throws: ValueError.self) { _ = try LogWriter(names: ["/nonexistent/x.log"]) }
    }
}
