import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport

/// One call of etcdctl in a script.
struct EtcdCtlStep: Sendable {
    var arguments: [String]
    var input = ""
    var format = ""

    var text: String { (arguments + (format.isEmpty ? [] : ["-w", format])).joined(separator: " ") }

    /// Steps that differ only in the output format.
    static func each(_ formats: [String], _ arguments: String..., input: String = "") -> [EtcdCtlStep] {
        formats.map { EtcdCtlStep(arguments: arguments, input: input, format: $0) }
    }

    static func one(_ arguments: String..., input: String = "", format: String = "") -> [EtcdCtlStep] {
        [EtcdCtlStep(arguments: arguments, input: input, format: format)]
    }
}

/// What etcdctl printed, with everything taken out that differs from run to run of one server.
struct EtcdCtlResult: Equatable, CustomStringConvertible {
    var exitCode: Int32
    var output: String
    var errors: String

    init(_ result: Subprocess.Result, of step: EtcdCtlStep) {
        exitCode = result.status
        output =
            step.format == "protobuf" ? Self.settleMessage(result.output, of: step) : Self.settle(result.text, of: step)
        errors = Self.settle(result.errorText, of: step)
    }

    var description: String { "exit code \(exitCode)\noutput:\n\(output)\nerrors:\n\(errors)" }

    private static func settle(_ text: String, of step: EtcdCtlStep) -> String {
        var text =
            text
            .replacing(/"(raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":\d+/) { "\"\($0.1)\":0" }
            .replacing(/"(RaftTerm|RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse)" : \d+/) { "\"\($0.1)\" : 0" }
            .replacing(/"took":"[^"]*"/, with: "\"took\":\"T\"")
            .replacing(/took = [0-9.a-zµ]+/, with: "took = T")
            .replacing(/3\.(5\.1|7\.1)/, with: "VERSION")
            .replacing(/[0-9.]+ [kM]?B\b/, with: "SIZE")
            .replacing(/"ts":"[^"]*"/, with: "\"ts\":\"T\"")
            .replacing(/0x[0-9a-f]+/, with: "0xPOINTER")
            .replacing(/client-[-0-9a-f]{36}/, with: "client-UUID")
            .replacing(/[0-9.]+(µs|ms|s)\b/, with: "T")
        if step.format == "table" {
            // The width of a column follows its widest cell.
            text = text.replacing(#/[-+]{3,}/#, with: "---").replacing(#/ +/#, with: " ")
        }
        if step.arguments.starts(with: ["endpoint", "status"]) {
            switch step.format {
            case "", "simple": text = settleColumns(text, separator: ",", columns: 6...8)
            case "table": text = settleColumns(text, separator: "|", columns: 7...9)
            default: break
            }
        }
        return text
    }

    /// Term, index and applied index.
    private static func settleColumns(_ text: String, separator: Character, columns: ClosedRange<Int>) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            var cells = line.split(separator: separator, omittingEmptySubsequences: false).map(String.init)
            for column in columns where column < cells.count {
                if cells[column].contains(where: \.isNumber) { cells[column] = " N " }
            }
            return cells.joined(separator: String(separator))
        }.joined(separator: "\n")
    }

    /// The message in protobuf's text form, without what depends on time or size; fields that only 3.6 and later have
    /// are not looked at.
    private static func settleMessage(_ bytes: [UInt8], of step: EtcdCtlStep) -> String {
        func settle(_ header: inout Etcdserverpb_ResponseHeader) { header.raftTerm = 0 }
        // A line end stands behind some messages.
        switch step.arguments[0] {
        case "get":
            guard var message = try? Etcdserverpb_RangeResponse(serializedBytes: bytes) else { break }
            settle(&message.header)
            return message.textFormatString()
        case "put":
            guard var message = try? Etcdserverpb_PutResponse(serializedBytes: bytes) else { break }
            settle(&message.header)
            return message.textFormatString()
        case "del":
            guard var message = try? Etcdserverpb_DeleteRangeResponse(serializedBytes: bytes) else { break }
            settle(&message.header)
            return message.textFormatString()
        case "txn":
            guard var message = try? Etcdserverpb_TxnResponse(serializedBytes: bytes) else { break }
            settle(&message.header)
            return message.textFormatString()
        case "member":
            guard var message = try? Etcdserverpb_MemberListResponse(serializedBytes: bytes) else { break }
            settle(&message.header)
            return message.textFormatString()
        default: break
        }
        return "not decoded: " + Hex.text(bytes)
    }
}

extension EtcdCtlStep {
    static let formats = ["simple", "json", "fields", "table", "protobuf"]

    /// A session of an operator who tries everything that a single member without leases, users and watches has.
    static let script: [EtcdCtlStep] =
        writes + reads + deletes + transactions + compactions + aboutTheMember + mistakes

    private static let writes: [EtcdCtlStep] =
        one("put", "a", "1") + one("put", "a", "2", "--prev-kv") + one("put", "empty", "")
        + one("put", "b", input: "from standard input") + each(["json", "fields", "protobuf"], "put", "a", "3")
        + each(["simple", "json", "fields", "protobuf"], "put", "a", "4", "--prev-kv")
        + (1...6).flatMap { one("put", "k\($0)", "value \(7 - $0)") }
        + one("put", "k2", "again") + one("put", "a", "--ignore-value") + one("put", "missing", "--ignore-value")
        + one("put", "a", "5", "--ignore-lease") + one("put", "a", "6", "--lease=1234")

    private static let reads: [EtcdCtlStep] =
        each(formats, "get", "a") + each(formats, "get", "absent") + each(formats, "get", "k", "--prefix")
        + one("get", "k3", "--from-key") + one("get", "k1", "k4") + one("get", "k4", "k1")
        + each(["simple", "json", "fields"], "get", "k", "--prefix", "--limit=2")
        + one("get", "k", "--prefix", "--order=DESCEND") + one("get", "k", "--prefix", "--sort-by=VALUE")
        + one("get", "k", "--prefix", "--sort-by=CREATE", "--order=DESCEND", "--limit=3")
        + one("get", "k", "--prefix", "--sort-by=MODIFY") + one("get", "", "--prefix", "--keys-only")
        + each(["json", "fields"], "get", "k", "--prefix", "--keys-only") + one("get", "a", "--rev=2")
        + one("get", "a", "--rev=3", format: "json") + one("get", "a", "--rev=9999")
        + each(["simple", "fields"], "get", "k", "--prefix", "--count-only")
        + one("get", "k", "--prefix", "--print-value-only") + one("get", "a", "--consistency=s")
        + one("get", "a", "--hex") + one("get", "a", "--hex", format: "fields")

    private static let deletes: [EtcdCtlStep] =
        one("del", "k1") + each(["json", "fields", "protobuf"], "del", "absent") + one("del", "k2", "--prev-kv")
        + one("del", "k3", "--prev-kv", format: "json") + one("del", "k4", "--prev-kv", format: "fields")
        + one("del", "k", "--prefix") + one("get", "k", "--prefix")

    private static let transactions: [EtcdCtlStep] =
        each(
            ["simple", "json", "fields", "protobuf"], "txn",
            input: "value(\"b\") = \"from standard input\"\nmod(\"b\") > \"1\"\n\nput t 1\nget t\nget a b\n\ndel b\n\n")
        + one("txn", input: "create(\"b\") = \"0\"\n\nput t 2\n\nput t 3\ndel t\nget t\n\n")
        + one("txn", input: "ver(\"t\") = \"0\"\nlease(\"b\") = \"0\"\n\nget b --count-only\n\n\n")
        + one("txn", input: "version(\"t\") < \"1\"\n\nput t 1\nput t 2\n\n\n")
        + one("txn", input: "c(\"b\") != \"0\"\n\nget b --rev=9999\n\n\n") + one("txn", input: "\n\n\n")
        + one("txn", input: "nonsense\n\n\n\n")

    private static let compactions: [EtcdCtlStep] =
        one("compaction", "5") + one("compaction", "5") + one("compaction", "4") + one("compaction", "9999")
        + one("compaction", "7", "--physical") + one("get", "a", "--rev=2") + one("get", "a", "--rev=7")
        + one("compaction", "x")

    private static let aboutTheMember: [EtcdCtlStep] =
        each(["simple", "json", "fields", "table", "protobuf"], "member", "list")
        + each(["simple", "json", "fields", "table"], "endpoint", "status")
        + each(["simple", "json", "table"], "endpoint", "health")
        + each(["simple", "json", "fields", "table"], "endpoint", "hashkv") + one("endpoint", "hashkv", "--rev=9")

    private static let mistakes: [EtcdCtlStep] =
        one("put") + one("get") + one("put", "", "1") + one("get", "a", "--sort-by=NAME") + one("del", "")
        + one("get", "a", format: "yaml")
}
