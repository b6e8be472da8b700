package import EtcdProto

/// The fields of a request that decide whether it may go on, read straight from its bytes: a request is validated once
/// on its event loop and passed on encoded, so a full decode here would be paid for twice.
///
/// All positions are offsets into the bytes that were scanned. Of a field that occurs twice the last one counts, as in
/// protobuf. A known field with a foreign wire type is refused: no reader further down may see it differently.

/// `RangeRequest`.
package struct RangeFields: Sendable, Equatable {
    package var key = 0..<0
    package var sortOrder: Int32 = 0
    package var sortTarget: Int32 = 0
    package var serializable = false

    package init(_ bytes: Span<UInt8>, at window: Range<Int>) throws(WireError) {
        var cursor = WireCursor(window)
        while let (field, value) = try cursor.next(in: bytes) {
            switch field {
            case 1: key = try value.bytes(of: field)
            case 2: _ = try value.bytes(of: field)
            case 5: sortOrder = Int32(truncatingIfNeeded: try value.varint(of: field))
            case 6: sortTarget = Int32(truncatingIfNeeded: try value.varint(of: field))
            case 7: serializable = try value.varint(of: field) != 0
            case 3, 4, 8...13: _ = try value.varint(of: field)
            default: break
            }
        }
    }

    /// etcd's checks of a range, in its order.
    package func check() throws(EtcdError) {
        if key.isEmpty { throw .emptyKey }
        // SortOrder has the values 0...2, SortTarget 0...4.
        guard (0...2).contains(sortOrder), (0...4).contains(sortTarget) else { throw .invalidSortOption }
    }
}

/// `PutRequest`.
package struct PutFields: Sendable, Equatable {
    package var key = 0..<0
    package var hasValue = false
    package var hasLease = false
    package var ignoreValue = false
    package var ignoreLease = false

    package init(_ bytes: Span<UInt8>, at window: Range<Int>) throws(WireError) {
        var cursor = WireCursor(window)
        while let (field, value) = try cursor.next(in: bytes) {
            switch field {
            case 1: key = try value.bytes(of: field)
            case 2: hasValue = try !value.bytes(of: field).isEmpty
            case 3: hasLease = try value.varint(of: field) != 0
            case 4: _ = try value.varint(of: field)
            case 5: ignoreValue = try value.varint(of: field) != 0
            case 6: ignoreLease = try value.varint(of: field) != 0
            default: break
            }
        }
    }

    /// etcd's checks of a put, in its order.
    package func check() throws(EtcdError) {
        if key.isEmpty { throw .emptyKey }
        if ignoreValue && hasValue { throw .valueProvided }
        if ignoreLease && hasLease { throw .leaseProvided }
    }
}

/// `DeleteRangeRequest`.
package struct DeleteRangeFields: Sendable, Equatable {
    package var key = 0..<0
    package var rangeEnd = 0..<0

    package init(_ bytes: Span<UInt8>, at window: Range<Int>) throws(WireError) {
        var cursor = WireCursor(window)
        while let (field, value) = try cursor.next(in: bytes) {
            switch field {
            case 1: key = try value.bytes(of: field)
            case 2: rangeEnd = try value.bytes(of: field)
            case 3: _ = try value.varint(of: field)
            default: break
            }
        }
    }

    package func check() throws(EtcdError) {
        if key.isEmpty { throw .emptyKey }
    }
}

/// Messages of which only the form is checked here; what they ask for is checked where the state is.
package enum PlainFields {
    /// `CompactionRequest`, `HashKVRequest`, `AlarmRequest`: nothing but varints in fields 1 to `count`.
    package static func varints(_ bytes: Span<UInt8>, at window: Range<Int>, count: Int) throws(WireError) {
        var cursor = WireCursor(window)
        while let (field, value) = try cursor.next(in: bytes) {
            if field <= count { _ = try value.varint(of: field) }
        }
    }

    /// `MemberListRequest.linearizable`.
    package static func linearizable(_ bytes: Span<UInt8>, at window: Range<Int>) throws(WireError) -> Bool {
        var cursor = WireCursor(window)
        var linearizable = false
        while let (field, value) = try cursor.next(in: bytes) {
            if field == 1 { linearizable = try value.varint(of: field) != 0 }
        }
        return linearizable
    }

    /// Whether `HealthCheckRequest.service` is empty, which names the server as a whole.
    package static func namesWholeServer(_ bytes: Span<UInt8>, at window: Range<Int>) throws(WireError) -> Bool {
        var cursor = WireCursor(window)
        var isEmpty = true
        while let (field, value) = try cursor.next(in: bytes) {
            if field == 1 { isEmpty = try value.bytes(of: field).isEmpty }
        }
        return isEmpty
    }

    /// A message without fields that matter: only its form.
    package static func skim(_ bytes: Span<UInt8>, at window: Range<Int>) throws(WireError) {
        var cursor = WireCursor(window)
        while try cursor.next(in: bytes) != nil {}
    }
}

extension WireValue {
    func varint(of field: Int) throws(WireError) -> UInt64 {
        guard case .varint(let value) = self else { throw .unexpectedWireType(field: field) }
        return value
    }

    func bytes(of field: Int) throws(WireError) -> Range<Int> {
        guard case .bytes(let range) = self else { throw .unexpectedWireType(field: field) }
        return range
    }
}

extension EtcdError {
    /// What etcd's gRPC library answers to bytes that are no message of the expected type.
    package static let malformedRequest = EtcdError(
        .internal, "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data")
}
