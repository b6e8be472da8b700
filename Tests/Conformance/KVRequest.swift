import EtcdProto
import Foundation
import SwiftProtobuf

/// A unary call that the differential test sends to both servers.
enum KVRequest: Sendable {
    case range(Etcdserverpb_RangeRequest)
    case put(Etcdserverpb_PutRequest)
    case deleteRange(Etcdserverpb_DeleteRangeRequest)
    case txn(Etcdserverpb_TxnRequest)
    case compact(Etcdserverpb_CompactionRequest)
    case hashKV(Etcdserverpb_HashKVRequest)

    var path: String {
        switch self {
        case .range: "/etcdserverpb.KV/Range"
        case .put: "/etcdserverpb.KV/Put"
        case .deleteRange: "/etcdserverpb.KV/DeleteRange"
        case .txn: "/etcdserverpb.KV/Txn"
        case .compact: "/etcdserverpb.KV/Compact"
        case .hashKV: "/etcdserverpb.Maintenance/HashKV"
        }
    }

    var message: any Message {
        switch self {
        case .range(let message): message
        case .put(let message): message
        case .deleteRange(let message): message
        case .txn(let message): message
        case .compact(let message): message
        case .hashKV(let message): message
        }
    }

    func bytes() throws -> [UInt8] { try message.serializedBytes() }

    /// For reports: the method and the message in protobuf's text form, cut where a value is very long.
    var text: String { path + "\n" + String(message.textFormatString().prefix(4000)) }
}

/// What a server answered: a message, or an error by code and text.
enum Answer: Sendable, Equatable {
    case message([UInt8])
    case failure(GRPCCode, String)

    static func failure(_ error: EtcdError) -> Answer { .failure(error.code, error.message) }
}

/// An answer in the form in which two servers' must be equal.
enum KVAnswer: Equatable {
    case range(Etcdserverpb_RangeResponse)
    case put(Etcdserverpb_PutResponse)
    case deleteRange(Etcdserverpb_DeleteRangeResponse)
    case txn(Etcdserverpb_TxnResponse)
    case compact(Etcdserverpb_CompactionResponse)
    case hashKV(Etcdserverpb_HashKVResponse)
    case failure(GRPCCode, String)

    /// Decodes an answer, and takes out what may differ between two servers that behave alike:
    /// - the IDs and the term of headers, of which only remains whether they are set;
    /// - the order among equal sort values, and who of those is cut off by a limit, which etcd leaves open.
    init(_ answer: Answer, to request: KVRequest) throws {
        switch (answer, request) {
        case (.failure(let code, let message), _):
            self = .failure(code, message)
        case (.message(let bytes), .range(let request)):
            var response = try Etcdserverpb_RangeResponse(serializedBytes: bytes)
            Self.settle(&response, request)
            self = .range(response)
        case (.message(let bytes), .put):
            var response = try Etcdserverpb_PutResponse(serializedBytes: bytes)
            Self.settle(&response.header)
            self = .put(response)
        case (.message(let bytes), .deleteRange):
            var response = try Etcdserverpb_DeleteRangeResponse(serializedBytes: bytes)
            Self.settle(&response.header)
            self = .deleteRange(response)
        case (.message(let bytes), .txn(let request)):
            var response = try Etcdserverpb_TxnResponse(serializedBytes: bytes)
            Self.settle(&response, request)
            self = .txn(response)
        case (.message(let bytes), .compact):
            var response = try Etcdserverpb_CompactionResponse(serializedBytes: bytes)
            Self.settle(&response.header)
            self = .compact(response)
        case (.message(let bytes), .hashKV):
            var response = try Etcdserverpb_HashKVResponse(serializedBytes: bytes)
            Self.settle(&response.header)
            self = .hashKV(response)
        }
    }

    /// The store's revision that the answer tells; nil for errors.
    var revision: Int64? {
        switch self {
        case .range(let response): response.header.revision
        case .put(let response): response.header.revision
        case .deleteRange(let response): response.header.revision
        case .txn(let response): response.header.revision
        case .compact(let response): response.header.revision
        case .hashKV(let response): response.header.revision
        case .failure: nil
        }
    }

    var text: String {
        switch self {
        case .range(let response): response.textFormatString()
        case .put(let response): response.textFormatString()
        case .deleteRange(let response): response.textFormatString()
        case .txn(let response): response.textFormatString()
        case .compact(let response): response.textFormatString()
        case .hashKV(let response): response.textFormatString()
        case .failure(let code, let message): "\(code): \(message)"
        }
    }

    private static func settle(_ header: inout Etcdserverpb_ResponseHeader) {
        header.clusterID = header.clusterID == 0 ? 0 : 1
        header.memberID = header.memberID == 0 ? 0 : 1
        header.raftTerm = header.raftTerm == 0 ? 0 : 1
    }

    private static func settle(_ response: inout Etcdserverpb_TxnResponse, _ request: Etcdserverpb_TxnRequest) {
        if response.hasHeader { settle(&response.header) }
        let operations = response.succeeded ? request.success : request.failure
        for (index, operation) in operations.enumerated() where index < response.responses.count {
            switch (operation.request, response.responses[index].response) {
            case (.requestRange(let request), .responseRange(var nested)):
                settle(&nested, request)
                response.responses[index].responseRange = nested
            case (.requestTxn(let request), .responseTxn(var nested)):
                settle(&nested, request)
                response.responses[index].responseTxn = nested
            default: break
            }
        }
    }

    private static func settle(_ response: inout Etcdserverpb_RangeResponse, _ request: Etcdserverpb_RangeRequest) {
        if response.hasHeader { settle(&response.header) }
        guard request.sortTarget != .key else { return }
        let same: (Mvccpb_KeyValue, Mvccpb_KeyValue) -> Bool =
            switch request.sortTarget {
            case .version: { $0.version == $1.version }
            case .create: { $0.createRevision == $1.createRevision }
            case .mod: { $0.modRevision == $1.modRevision }
            default: { $0.value == $1.value }
            }
        var start = 0
        while start < response.kvs.count {
            var end = start + 1
            while end < response.kvs.count, same(response.kvs[start], response.kvs[end]) { end += 1 }
            response.kvs[start..<end].sort { $0.key.lexicographicallyPrecedes($1.key) }
            if end == response.kvs.count, response.more {
                for index in start..<end {
                    let kv = response.kvs[index]
                    response.kvs[index] = .with {
                        switch request.sortTarget {
                        case .version: $0.version = kv.version
                        case .create: $0.createRevision = kv.createRevision
                        case .mod: $0.modRevision = kv.modRevision
                        default: $0.value = kv.value
                        }
                    }
                }
            }
            start = end
        }
    }
}
