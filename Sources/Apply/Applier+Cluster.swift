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

    /// Takes over what an entry tells of the cluster.
    func take(_ news: ClusterNews) throws(StoreError) {
        do throws(MembershipError) {
            switch news {
            case .version(let text): cluster.setVersion(try SemanticVersion(parsing: text), storingIn: backend)
            case .attributes(let member, let name, let urls):
                try cluster.updateAttributes(of: member, name: name, clientURLs: urls, storingIn: backend)
            }
        } catch .idNotFound {
            throw .rejected(.memberNotFound)
        } catch {
            throw .rejected(EtcdError(.invalidArgument, "\(error)"))
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
        cluster.setDowngrade(DowngradeInfo(isEnabled: enabled, targetText: target), storingIn: backend)
    }

    /// Carries out a request of the v2 API, so far as it concerns more than the v2 tree. What cannot be is passed over,
    /// as the tree passed it over.
    func apply(_ request: LegacyRequest) {
        if let news = ClusterNews(request) { try? take(news) }
    }
}
