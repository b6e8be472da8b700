internal import Auth
internal import Base
internal import EtcdProto
internal import MVCC
internal import Platform
internal import RaftCore

// Reads with a bound on the age of the state (docs/decisions/135-bounded-staleness.md).
extension MemberCore {
    /// Answers a read from the state if that is new enough, or has it wait for a confirmation.
    /// - Parameter limit: how old the state may be; above zero.
    func acceptBounded(
        _ request: ClientRequest, limit: Duration, _ address: ReplyAddress, _ deadline: Instant
    ) throws(EtcdError) {
        if let asOf = reads.stateAsOf {
            let age = StateAge(asOf: asOf, limit: limit)
            if age.isKept(at: now) {
                figures.boundedReadsAtOnce += 1
                return answer(request.body, to: address, until: deadline, age)
            }
        }
        guard reads.count + boundedReads.count < MemberLimits.pendingRequests else { throw .tooManyRequests }
        boundedReads.enqueue(
            .init(
                address: address, body: request.body, identity: request.identity, limit: limit,
                deadline: min(deadline, now + limit)))
    }

    /// Answers those that a confirmation has come for, and refuses those for which it has not come in time.
    func serveBoundedReads() {
        if let asOf = reads.stateAsOf {
            for read in boundedReads.takeReadable(asOf: asOf, at: now) {
                do throws(EtcdError) {
                    // Rights may have changed while the read waited.
                    try authorize(read.body, read.identity)
                    figures.boundedReadsAfterRound += 1
                    answer(
                        read.body, to: read.address, until: read.deadline, StateAge(asOf: asOf, limit: read.limit))
                } catch {
                    outbox.refuse(read.address, error)
                }
            }
        }
        let reason =
            node.leader == .none ? "it knows no leader that could confirm it" : "no confirmation came in time"
        for read in boundedReads.takeExpired(at: now) {
            figures.boundedReadsRefused += 1
            let age = reads.stateAsOf.map { now - $0 }
            outbox.refuse(read.address, .tooStale(age: age, limit: read.limit, reason: reason))
        }
    }
}
