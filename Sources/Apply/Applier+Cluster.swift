internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership

// Alarms, and what members tell the cluster of themselves.
extension Applier {
    private enum AlarmAction {
        static let get: UInt64 = 0
        static let activate: UInt64 = 1
        static let deactivate: UInt64 = 2
    }

    func changeAlarms(
        _ bytes: [UInt8], at range: Range<Int>, header: ResponseHeader, into out: inout [UInt8]
    ) throws(StoreError) {
        let (action, alarm) = try decoding { () throws(WireError) -> (UInt64, Alarm) in
            var action = AlarmAction.get
            var alarm = Alarm(member: .none, kind: .none)
            try forEachField(of: bytes, at: range) { (field, value) throws(WireError) in
                switch field {
                case 1: action = try value.unsigned(field)
                case 2: alarm.member = MemberID(try value.unsigned(field))
                case 3: alarm.kind = AlarmKind(rawValue: Int32(truncatingIfNeeded: try value.unsigned(field)))
                default: break
                }
            }
            return (action, alarm)
        }
        var answer: [Alarm] = []
        switch action {
        case AlarmAction.get:
            answer = alarm.kind == .none ? alarms.all : alarms.all.filter { $0.kind == alarm.kind }
        case AlarmAction.activate where alarm.kind != .none:
            alarms.raise(alarm, storingIn: backend)
            answer = [alarm]
        case AlarmAction.deactivate:
            if alarms.clear(alarm, storingIn: backend) { answer = [alarm] }
        default: break
        }
        appendHeader(header, to: &out)
        for alarm in answer { Wire.appendBytesField(2, alarm.encoded, to: &out) }
    }

    func setClusterVersion(_ bytes: [UInt8], at range: Range<Int>) throws(StoreError) {
        let text = try decoding { () throws(WireError) -> String in
            var text = ""
            try forEachField(of: bytes, at: range) { (field, value) throws(WireError) in
                if field == 1 { text = String(decoding: bytes[try value.bytes(field)], as: UTF8.self) }
            }
            return text
        }
        try setClusterVersion(text)
    }

    private func setClusterVersion(_ text: String) throws(StoreError) {
        do throws(MembershipError) {
            cluster.setVersion(try SemanticVersion(parsing: text), storingIn: backend)
        } catch {
            throw .rejected(EtcdError(.invalidArgument, "\(error)"))
        }
    }

    func updateAttributes(_ bytes: [UInt8], at range: Range<Int>) throws(StoreError) {
        let (member, name, urls) = try decoding { () throws(WireError) -> (MemberID, String, [String]) in
            var member = MemberID.none
            var name = ""
            var urls: [String] = []
            try forEachField(of: bytes, at: range) { (field, value) throws(WireError) in
                if field == 1 { member = MemberID(try value.unsigned(field)) }
                guard field == 2 else { return }
                try forEachField(of: bytes, at: value.bytes(field)) { (field, value) throws(WireError) in
                    let text = String(decoding: bytes[try value.bytes(field)], as: UTF8.self)
                    if field == 1 { name = text }
                    if field == 2 { urls.append(text) }
                }
            }
            return (member, name, urls)
        }
        try updateAttributes(of: member, name: name, clientURLs: urls)
    }

    private func updateAttributes(of member: MemberID, name: String, clientURLs: [String]) throws(StoreError) {
        do throws(MembershipError) {
            try cluster.updateAttributes(of: member, name: name, clientURLs: clientURLs, storingIn: backend)
        } catch {
            throw .rejected(.memberNotFound)
        }
    }

    func setDowngrade(_ bytes: [UInt8], at range: Range<Int>) throws(StoreError) {
        let (enabled, target) = try decoding { () throws(WireError) -> (Bool, String) in
            var enabled = false
            var target = ""
            try forEachField(of: bytes, at: range) { (field, value) throws(WireError) in
                if field == 1 { enabled = try value.bool(field) }
                if field == 2 { target = String(decoding: bytes[try value.bytes(field)], as: UTF8.self) }
            }
            return (enabled, target)
        }
        let record = JSON.object([.init("target-version", .string(target)), .init("enabled", .bool(enabled))])
        backend.put(Array("downgrade".utf8), Array(record.text.utf8), in: .cluster)
    }

    // MARK: Requests of the v2 API

    /// `PUT /0/members/<id>/attributes` publishes a member, `PUT /0/version` sets the cluster version; everything else
    /// only concerns the v2 tree, which is not kept.
    func apply(_ request: LegacyRequest) {
        guard request.method == "PUT" else { return }
        let parts = request.path.split(separator: "/")
        // A record that cannot be read changes nothing, as it did not in the tree either.
        if parts == ["0", "version"] {
            try? setClusterVersion(request.value)
        } else if parts.count == 4, parts[0] == "0", parts[1] == "members", parts[3] == "attributes",
            let id = UInt64(parts[2], radix: 16), let document = try? JSON.parse(Array(request.value.utf8))
        {
            try? updateAttributes(
                of: MemberID(id), name: document["name"]?.string ?? "",
                clientURLs: document["clientURLs"]?.array?.compactMap(\.string) ?? [])
        }
    }
}
