internal import Base
package import EtcdProto
package import Member

/// `Maintenance.Alarm` with action GET, which health checks of clients ask for: from the member's figures, after a
/// linearizable read.
package enum AlarmList {
    /// The kind in an `AlarmRequest`; 0 for all. The member that it names does not matter to GET.
    /// - Throws: when the bytes are no such request, or it asks to raise or disarm an alarm.
    package static func kind(askedFor message: [UInt8]) throws(EtcdError) -> Int32 {
        var action: UInt64 = 0
        var kind: Int32 = 0
        do throws(WireError) {
            var cursor = WireCursor(message.indices)
            while let (field, value) = try cursor.next(in: message.span) {
                switch field {
                case 1: action = try value.varint(of: field)
                case 2: _ = try value.varint(of: field)
                case 3: kind = Int32(truncatingIfNeeded: try value.varint(of: field))
                default: break
                }
            }
        } catch {
            throw .malformedRequest
        }
        guard action == 0 else {
            throw EtcdError(.unimplemented, "martlet: raising and disarming alarms is not supported yet")
        }
        return kind
    }

    /// An `AlarmResponse` with the alarms of that kind, in the order of the figures.
    package static func encode(_ statistics: MemberStatistics, kind: Int32) -> [UInt8] {
        var header: [UInt8] = []
        let fields = [
            statistics.clusterID.rawValue, statistics.memberID.rawValue, UInt64(bitPattern: statistics.revision),
            statistics.term.rawValue,
        ]
        for (i, value) in fields.enumerated() where value != 0 {
            Wire.appendVarintField(i + 1, value, to: &header)
        }
        var out: [UInt8] = []
        Wire.appendBytesField(1, header, to: &out)
        for alarm in statistics.alarms where kind == 0 || alarm.kind.rawValue == kind {
            var member: [UInt8] = []
            if alarm.member != .none { Wire.appendVarintField(1, alarm.member.rawValue, to: &member) }
            if alarm.kind.rawValue != 0 {
                Wire.appendVarintField(2, UInt64(bitPattern: Int64(alarm.kind.rawValue)), to: &member)
            }
            Wire.appendBytesField(2, member, to: &out)
        }
        return out
    }
}
