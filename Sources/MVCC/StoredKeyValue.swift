internal import EtcdProto

/// What a row of bucket `key` holds, an encoded `mvccpb.KeyValue`, as offsets into the row's bytes.
/// Format: docs/formats/backend.md, "Bucket key".
struct StoredKeyValue {
    var key = 0..<0
    var createRevision: Int64 = 0
    var modRevision: Int64 = 0
    var version: Int64 = 0
    var value = 0..<0
    var lease: Int64 = 0

    enum Field {
        static let key = 1
        static let createRevision = 2
        static let modRevision = 3
        static let version = 4
        static let value = 5
        static let lease = 6
    }

    init(createRevision: Int64, modRevision: Int64, version: Int64, lease: Int64) {
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
        self.lease = lease
    }

    init(decoding bytes: Span<UInt8>) throws(WireError) {
        var cursor = WireCursor(0..<bytes.count)
        while let (field, value) = try cursor.next(in: bytes) {
            switch (field, value) {
            case (Field.key, .bytes(let range)): key = range
            case (Field.createRevision, .varint(let v)): createRevision = Int64(bitPattern: v)
            case (Field.modRevision, .varint(let v)): modRevision = Int64(bitPattern: v)
            case (Field.version, .varint(let v)): version = Int64(bitPattern: v)
            case (Field.value, .bytes(let range)): self.value = range
            case (Field.lease, .varint(let v)): lease = Int64(bitPattern: v)
            case (Field.key...Field.lease, _): throw .unexpectedWireType(field: field)
            default: break
            }
        }
    }

    /// Only where the key is: the first field of every row that etcd or this store has written.
    static func keyRange(in bytes: Span<UInt8>) throws(WireError) -> Range<Int> {
        var cursor = WireCursor(0..<bytes.count)
        while let (field, value) = try cursor.next(in: bytes) {
            if field == Field.key {
                guard case .bytes(let range) = value else { throw .unexpectedWireType(field: field) }
                return range
            }
        }
        return 0..<0
    }

    /// The size of the encoding of a row with `keyCount` bytes of key and `valueCount` of value.
    func encodedSize(keyCount: Int, valueCount: Int) -> Int {
        var size = keyCount > 0 ? Wire.bytesFieldSize(Field.key, keyCount) : 0
        if createRevision != 0 { size += 1 + Wire.varintSize(UInt64(bitPattern: createRevision)) }
        if modRevision != 0 { size += 1 + Wire.varintSize(UInt64(bitPattern: modRevision)) }
        if version != 0 { size += 1 + Wire.varintSize(UInt64(bitPattern: version)) }
        if valueCount > 0 { size += Wire.bytesFieldSize(Field.value, valueCount) }
        if lease != 0 { size += 1 + Wire.varintSize(UInt64(bitPattern: lease)) }
        return size
    }

    /// Appends the encoding: fields ascending, zero-valued ones left out. The hash of the store depends on it.
    func append(key: ArraySlice<UInt8>, value: ArraySlice<UInt8>, to out: inout [UInt8]) {
        if !key.isEmpty { Wire.appendBytesField(Field.key, key, to: &out) }
        if createRevision != 0 {
            Wire.appendVarintField(Field.createRevision, UInt64(bitPattern: createRevision), to: &out)
        }
        if modRevision != 0 { Wire.appendVarintField(Field.modRevision, UInt64(bitPattern: modRevision), to: &out) }
        if version != 0 { Wire.appendVarintField(Field.version, UInt64(bitPattern: version), to: &out) }
        if !value.isEmpty { Wire.appendBytesField(Field.value, value, to: &out) }
        if lease != 0 { Wire.appendVarintField(Field.lease, UInt64(bitPattern: lease), to: &out) }
    }
}
