internal import Base
internal import EtcdProto

/// How far a read in key order has come.
struct RangeWalk: Sendable {
    static let countedPerUnit = 32

    /// The revision that it sees.
    var revision: Int64
    /// Keys that exist, those beyond the limit included.
    var count = 0
    /// Where it goes on.
    var next: [UInt8] = []
}

/// A read of many keys that is answered in slices, between which the store may change: all of it at one revision.
public struct RangeRun: Sendable {
    /// What the command's offsets refer to.
    public let request: [UInt8]
    fileprivate let command: RangeCommand
    fileprivate let header: ResponseHeader
    fileprivate var walk: RangeWalk
    /// The response, as far as it is known.
    fileprivate var response: [UInt8]
    /// How often compactions have made it begin again.
    fileprivate var restarts = 0

    /// Takes the response out when the run has ended.
    public mutating func takeResponse() -> [UInt8] {
        defer { response = [] }
        return response
    }
}

extension RangeCommand {
    /// Whether results leave in the order in which they are found, so that they can be found in slices.
    fileprivate var isSliceable: Bool { !countOnly && !rangeEnd.isEmpty && !hasFilter && !needsSort }
}

extension KeyValueStore {
    /// What a slice of a read does unless told otherwise: less than a millisecond of work.
    public static let rangeSlice = 1000
    /// After so many compactions in its way a run is ended in one go.
    static let rangeRestarts = 3

    /// Answers a read as `range` does, if it is done within one slice.
    /// - Returns: otherwise the run that goes on with it; nothing is appended then.
    public func beginRange(
        _ command: RangeCommand, in request: [UInt8], header: ResponseHeader, slice: Int = rangeSlice,
        into out: inout [UInt8]
    ) throws(StoreError) -> RangeRun? {
        guard command.isSliceable else {
            try range(command, in: request, header: header, into: &out)
            return nil
        }
        let start = out.count
        do throws(StoreError) {
            var walk = RangeWalk(revision: try resolve(command.revision))
            counters.ranges += 1
            var header = header
            header.revision = readRevision
            header.append(to: &out)
            let bytes = request.span.bytes
            let isDone = try appendNext(
                &walk, command, from: bytes.extracting(command.key), to: bytes.extracting(command.rangeEnd),
                slice: slice, into: &out)
            if isDone { return nil }
            let run = RangeRun(
                request: request, command: command, header: header, walk: walk, response: Array(out[start...]))
            out.removeSubrange(start...)
            return run
        } catch {
            out.removeSubrange(start...)
            throw error
        }
    }

    /// Does the next slice.
    /// - Returns: whether the response is complete.
    /// - Throws: also when the revision that was asked for has been compacted since the run began. A read of the
    ///   current state begins again instead.
    public func rangeStep(_ run: inout RangeRun, slice: Int = rangeSlice) throws(StoreError) -> Bool {
        var slice = slice
        if run.walk.revision < compactRevision {
            guard run.command.revision <= 0 else { throw .rejected(.compacted) }
            run.walk = RangeWalk(revision: readRevision, next: Array(run.request[run.command.key]))
            run.response.removeAll(keepingCapacity: true)
            var header = run.header
            header.revision = readRevision
            header.append(to: &run.response)
            run.restarts += 1
            if run.restarts >= KeyValueStore.rangeRestarts { slice = .max }
        }
        let (next, request, command) = (run.walk.next, run.request, run.command)
        return try appendNext(
            &run.walk, command, from: next.span.bytes, to: request.span.bytes.extracting(command.rangeEnd),
            slice: slice, into: &run.response)
    }
}
