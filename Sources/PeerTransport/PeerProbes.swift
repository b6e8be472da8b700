internal import Base
internal import Logging
internal import MVCC
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import Platform

/// Asks every peer again and again whether it lives, what its clock says, and, if it is a Martlet, which windows of the
/// log it has finished. Used on its event loop only.
final class PeerProbes {
    private let core: TransportCore
    private var timer: RepeatedTask?
    private var turn = 0
    /// What the member has been told that each peer says.
    private var accounts: [MemberID: EffectsAccount] = [:]

    init(_ core: TransportCore) { self.core = core }

    func start() {
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        // The peer's spare lines take turns.
        let pause = TimeAmount.nanoseconds(PeerLimits.probingInterval.nanoseconds / Int64(SpareLines.count))
        timer = core.eventLoop.scheduleRepeatedTask(initialDelay: pause, delay: pause) { _ in bound.value.probe() }
    }

    func stop() { timer?.cancel() }

    private func probe() {
        let known = Set(core.peers.map(\.id))
        accounts = accounts.filter { known.contains($0.key) }
        let request = PeerRequest(
            method: .GET, path: "/raft/probing", headers: [PeerHeader.effects: EffectsNote.question],
            timeout: PeerLimits.probeTimeout)
        turn = (turn + 1) % SpareLines.count
        for peer in core.peers {
            let id = peer.id
            peer.spareLines.ask(request, turn: turn) { [weak self] in self?.answered(id, $0) }
        }
    }

    private func answered(_ id: MemberID, _ result: Result<PeerAnswer, any Error>) {
        guard let peer = core.peer(id) else { return }
        switch result {
        case .success(let answer) where answer.status == 200:
            take(answer, of: id)
            peer.figures.roundTrips.observe(answer.roundTrip.inSeconds)
            guard let theirs = Self.milliseconds(of: answer.body) else { return }
            // Its clock was read half a round trip ago.
            let difference = Duration.milliseconds(core.clock.unixMilliseconds() - theirs) - answer.roundTrip / 2
            peer.figures.clockDifference = difference.inSeconds
            if difference > PeerLimits.clockDifference || difference < .zero - PeerLimits.clockDifference {
                warn(
                    id, "prober found high clock drift", ["clock-drift": "\(difference)", "rtt": "\(answer.roundTrip)"])
            }
        case .success(let answer): isUnhealthy(id, PeerFailure.status(answer.status, ""))
        case .failure(let error): isUnhealthy(id, error)
        }
    }

    /// Hands on what a peer says of what its entries did, when that is new.
    private func take(_ answer: PeerAnswer, of id: MemberID) {
        // Whoever listens at the address may be another member, or of another cluster.
        guard let note = answer.headers.first(name: PeerHeader.effects).flatMap({ EffectsNote($0) }),
            note.member == id, note.cluster == core.identity.clusterID,
            note.account != accounts[id] ?? EffectsAccount()
        else { return }
        if core.tell(.effects(of: id, note.account)) { accounts[id] = note.account }
    }

    private func isUnhealthy(_ id: MemberID, _ error: any Error) {
        warn(id, "prober detected unhealthy status", ["error": "\(error)"])
    }

    private func warn(_ id: MemberID, _ message: Logger.Message, _ fields: Logger.Metadata) {
        let ids: Logger.Metadata = ["round-tripper-name": "RAFT_MESSAGE", "remote-peer-id": "\(id)"]
        core.logger.warning(message, metadata: ids.merging(fields) { $1 })
    }

    /// `{"OK":true,"Now":"2026-11-23T20:20:51.430793107Z"}`: its time in milliseconds since 1970.
    private static func milliseconds(of body: [UInt8]) -> Int64? {
        guard let text = (try? JSON.parse(body))?["Now"]?.string else { return nil }
        return ProbeTime.milliseconds(of: text)
    }
}

/// The time in answers to probes (RFC 3339), to the millisecond.
package enum ProbeTime {
    /// `2026-11-23T20:20:51.430Z`.
    package static func text(milliseconds: Int64) -> String {
        let day = milliseconds.flooring(by: 86_400_000)
        let time = milliseconds - day * 86_400_000
        let date = CivilDate(daysSince1970: day)
        func padded(_ value: Int64, _ digits: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))T"
            + "\(padded(time / 3_600_000, 2)):\(padded(time / 60_000 % 60, 2)):\(padded(time / 1000 % 60, 2))."
            + "\(padded(time % 1000, 3))Z"
    }

    /// Milliseconds since 1970; nil when the text is no such time. Fractions may have any number of digits, and the
    /// zone may be an offset: Go writes its local one.
    package static func milliseconds(of text: String) -> Int64? {
        var rest = text[...]
        func number(_ digits: Int, then separator: Character? = nil) -> Int64? {
            let part = rest.prefix(digits)
            guard part.count == digits, part.allSatisfy({ $0.isASCII && $0.isNumber }), let value = Int64(part) else {
                return nil
            }
            rest = rest.dropFirst(digits)
            if let separator {
                guard rest.first == separator else { return nil }
                rest = rest.dropFirst()
            }
            return value
        }
        guard let year = number(4, then: "-"), let month = number(2, then: "-"), let day = number(2, then: "T"),
            let hour = number(2, then: ":"), let minute = number(2, then: ":"), let second = number(2),
            (1...12).contains(month)
        else { return nil }
        var milliseconds: Int64 = 0
        if rest.first == "." {
            let digits = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(1 + digits.count)
            milliseconds = Int64((digits + "000").prefix(3)) ?? 0
        }
        var offset: Int64 = 0
        if rest != "Z" {
            let sign: Int64 = rest.first == "-" ? -1 : 1
            guard rest.first == "+" || rest.first == "-" else { return nil }
            rest = rest.dropFirst()
            guard let hours = number(2, then: ":"), let minutes = number(2), rest.isEmpty else { return nil }
            offset = sign * (hours * 60 + minutes)
        }
        let days = CivilDate(year: year, month: month, day: day).daysSince1970
        return ((days * 24 + hour) * 60 + minute - offset) * 60_000 + second * 1000 + milliseconds
    }
}
