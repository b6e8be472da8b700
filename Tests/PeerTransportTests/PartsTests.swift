import Base
import MVCC
import Member
import PeerTransport
import Testing

/// The life of a stream that is dialled, event by event.
@Suite struct StreamDialTests {
    @Test func dialsUntilItIsStopped() {
        var dial = StreamDial()
        #expect(dial.start() == .dial(attempt: 1))
        #expect(dial.start() == .nothing, "a second start")
        dial.accepted(1)
        #expect(dial.isAttached)
        #expect(dial.lost(1) == .wait(attempt: 1))
        #expect(dial.lost(1) == .nothing, "told twice")
        #expect(dial.waited(1) == .dial(attempt: 2))
        #expect(dial.waited(1) == .nothing, "a late timer")
        #expect(dial.lost(1) == .nothing, "what the first attempt still reports")
        dial.accepted(1)
        #expect(!dial.isAttached, "a late answer to the first attempt")
        #expect(dial.lost(2) == .wait(attempt: 2))
        #expect(dial.stop() == .nothing)
        #expect(dial.waited(2) == .nothing, "the timer after the stop")
        #expect(dial.state == .stopped)
    }

    @Test func stopHangsUp() {
        var dial = StreamDial()
        _ = dial.start()
        dial.accepted(1)
        #expect(dial.stop() == .close)
        #expect(dial.lost(1) == .nothing, "the connection's end after the stop")
    }
}

@Suite struct PeerPartsTests {
    @Test(
        arguments: [
            ("3.5.1", PeerVersion(major: 3, minor: 5, patch: 1)), ("3.7.0-rc.1", PeerVersion(major: 3, minor: 7)),
            ("3.4.23+git", PeerVersion(major: 3, minor: 4, patch: 23)), ("3.5", nil), ("", nil), ("3.5.x", nil),
            ("3.-5.1", nil), ("3.5.1.2", nil),
        ] as [(String, PeerVersion?)]) func versions(text: String, version: PeerVersion?)
    {
        #expect(PeerVersion(text) == version)
    }

    @Test(
        arguments: [
            ("http://127.0.0.1:2380", PeerAddress.tcp(host: "127.0.0.1", port: 2380)),
            ("http://[::1]:2380", .tcp(host: "::1", port: 2380)), ("http://host:1/x", .tcp(host: "host", port: 1)),
            ("unix:///tmp/s", .unix(path: "/tmp/s")), ("https://127.0.0.1:2380", .tls(host: "127.0.0.1", port: 2380)),
            ("http://127.0.0.1", nil),
            ("http://127.0.0.1:99999", nil), ("nonsense", nil),
        ] as [(String, PeerAddress?)]) func addresses(url: String, address: PeerAddress?)
    {
        #expect(PeerAddress(url: url) == address)
    }

    @Test func anotherURLAfterAFailure() {
        var urls = PeerURLs(["a", "b"])
        #expect(urls.current == "a")
        urls.moveOn()
        #expect(urls.current == "b")
        urls.replace(with: ["a", "b"])
        #expect(urls.current == "b", "the same list changes nothing")
        urls.moveOn()
        #expect(urls.current == "a")
        urls.replace(with: ["c"])
        #expect(urls.current == "c")
        #expect(PeerURLs([]).current == nil)
    }

    @Test(
        arguments: [
            ("2026-11-23T20:20:51.430793107Z", 1_795_465_251_430), ("1970-01-01T00:00:00Z", 0),
            ("2026-11-23T22:20:51.43+02:00", 1_795_465_251_430), ("2026-11-23T15:20:51-05:00", 1_795_465_251_000),
            ("2024-02-29T12:00:00.5Z", 1_709_208_000_500), ("2026-13-01T00:00:00Z", nil), ("yesterday", nil),
            ("2026-11-23T20:20:51", nil), ("2026-11-23T20:20:51+02", nil),
        ] as [(String, Int64?)]) func timesOfPeers(text: String, milliseconds: Int64?)
    {
        #expect(ProbeTime.milliseconds(of: text) == milliseconds)
    }

    @Test(arguments: [0, 1_795_465_251_430, 951_782_400_001, 4_102_444_799_999] as [Int64])
    func timesComeBack(milliseconds: Int64) {
        #expect(ProbeTime.milliseconds(of: ProbeTime.text(milliseconds: milliseconds)) == milliseconds)
    }
}

/// What Martlet members tell each other of the windows of the log.
@Suite struct EffectsNoteTests {
    private let note = EffectsNote(
        cluster: ClusterID(0xda30_57c8_06f9_5c7e), member: MemberID(0x8e9e_05c5),
        account: EffectsAccount(
            origin: LogIndex(2741),
            windows: [
                .init(index: LogIndex(3000), hash: 0x0f5a_2b3c), .init(index: LogIndex(4000), hash: 0xFFFF_FFFF),
            ]))

    @Test func roundTrip() {
        #expect(note.text == "1 da3057c806f95c7e 8e9e05c5 2741 3000=f5a2b3c 4000=ffffffff")
        #expect(EffectsNote(note.text) == note)
        let empty = EffectsNote(cluster: ClusterID(1), member: MemberID(2))
        #expect(EffectsNote(empty.text) == empty)
    }

    @Test(arguments: [
        "", "1", "1 2", "1 1 2", "2 1 2 0", "1 x 2 0", "1 1 2 x", "1 1 2 -1", "1 1 2 3000=1", "1 1 2 0 ",
        "1 1 2 0 3000", "1 1 2 0 3000=", "1 1 2 0 3000=1=2", "1 1 2 0 3001=5", "1 1 2 0 0=5", "1 1 2 0 -1000=5",
        "1 1 2 0 4000=1 3000=1", "1 1 2 0 3000=1 3000=1", "1 1 2 0 3000=100000000",
        "1 1 2 0 99999999999999999999=1", "1 1 2 0" + (1...17).map { " \($0 * 1000)=1" }.joined(),
    ]) func whatIsNoNote(_ text: String) {
        #expect(EffectsNote(text) == nil)
    }
}
