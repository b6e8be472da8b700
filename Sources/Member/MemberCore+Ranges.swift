internal import Apply
internal import EtcdProto
internal import MVCC
internal import Platform

/// A read of many keys that a client waits for.
struct AwaitedRange {
    var address: ReplyAddress
    var deadline: Instant
    var run: RangeRun
    /// What the answer holds to.
    var age: StateAge?
}

// Reads of many keys are answered a slice a turn, so that they hold up nobody else.
extension MemberCore {
    /// The pause between two slices, so that requests come in between.
    static let rangePause: Duration = .microseconds(50)

    func answerRange(
        _ command: RangeCommand, in request: [UInt8], to address: ReplyAddress, until deadline: Instant,
        _ age: StateAge? = nil
    ) {
        // Beyond the limit there are more than slices could help: each is answered at once.
        let slice = ranges.count < MemberLimits.slicedRanges ? KeyValueStore.rangeSlice : .max
        var run: RangeRun?
        outbox.offer(address) { [self] out throws(EtcdError) in
            do throws(StoreError) {
                run = try applier.store.beginRange(command, in: request, header: header, slice: slice, into: &out)
            } catch {
                throw clientError(error)
            }
            return run == nil
        }
        guard let run else {
            if let age { outbox.bindLast(of: address.sink, to: age) }
            return
        }
        ranges.append(AwaitedRange(address: address, deadline: deadline, run: run, age: age))
        if ranges.count == 1 { nextRangeSlice = now + Self.rangePause }
    }

    /// Does a slice of one read; the next turn's is another's.
    func workOnRanges() {
        guard now >= nextRangeSlice, !ranges.isEmpty else { return }
        var range = ranges.removeFirst()
        nextRangeSlice = now + Self.rangePause
        guard now < range.deadline else { return outbox.refuse(range.address, .timeout) }
        do throws(StoreError) {
            guard try applier.store.rangeStep(&range.run) else { return ranges.append(range) }
            outbox.answer(range.address, taking: range.run.takeResponse())
            if let age = range.age { outbox.bindLast(of: range.address.sink, to: age) }
        } catch {
            outbox.refuse(range.address, clientError(error))
        }
    }

    /// The store has been replaced: reads begin again with the new one.
    func restartRanges() {
        let former = ranges
        ranges.removeAll()
        for range in former {
            do {
                answerRange(
                    try RangeCommand(range.run.request), in: range.run.request, to: range.address,
                    until: range.deadline, range.age)
            } catch {
                preconditionFailure("a request that was decoded before: \(error)")
            }
        }
    }

    func refuseRanges(_ error: EtcdError) {
        for range in ranges { outbox.refuse(range.address, error) }
        ranges.removeAll()
    }
}
