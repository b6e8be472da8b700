internal import NIOCore

/// The named limits of the transport. A peer that is slow, dead or malicious costs at most these.
public enum PeerLimits {
    /// Messages that wait for a stream whose socket is full; more are dropped and the peer reported unreachable.
    public static let queuedStreamMessages = 4096
    /// Messages that wait to be posted one by one.
    public static let queuedPosts = 64
    /// Bytes that a socket may hold back before a stream counts as full.
    public static let streamBufferBytes = 4 << 20
    /// The largest frame that is read from a stream, and the largest body of a posted message.
    public static let messageBytes = 512 << 20
    /// Messages that one read hands to the member; more are handed over in several batches.
    public static let messagesPerBatch = 4096
    /// As many messages in one turn of the event loop, and it has time to write the log itself.
    static let idleBatch = 2
    /// The largest envelope of a snapshot: message and membership, without the database.
    public static let snapshotEnvelopeBytes = 64 << 20
    /// Bytes of a database read ahead of the socket, or taken from it ahead of the disk.
    public static let snapshotBufferBytes = 4 << 20
    /// Bytes of a database read or written in one go.
    public static let snapshotChunkBytes = 1 << 20
    /// Bytes of a database that one read from a socket may take, and reads in one turn of the event loop. As many
    /// pieces of memory are kept and read into again when they have been written: twice what may wait for the disk, as
    /// most are not full.
    static let databaseReadBytes = 128 << 10
    static let databaseReadsPerTurn = UInt(2 * snapshotBufferBytes / databaseReadBytes)
    /// Bytes of a database that are written before a sync of them begins, while more come in.
    public static let snapshotSyncBytes = 16 << 20
    /// Snapshots on their way to peers at the same time.
    public static let snapshotsUnderWay = 16
    /// The largest answer of a peer to a question, such as the list of members.
    public static let answerBytes = 4 << 20
    /// The largest body of a question from a peer.
    public static let questionBytes = 64 << 10
    /// Databases that are given at the same time to members that ask for them; each holds pages of the file.
    static let databases = 2
    /// Members that may wait at the same time for this one to compare its data with theirs.
    static let accusations = 16
    /// Senders that are answered although they are no members yet.
    public static let remotes = 64
    /// Connections from peers; a member needs two streams, a pipeline, two spare lines and a snapshot from
    /// each.
    public static let connections = 1024
    /// Batches of the member's work that may wait for the event loop.
    static let queuedWork = 65_536

    /// A stream that brings nothing for so long is dead; the other side sends a heartbeat every third of it.
    static let streamSilence = TimeAmount.seconds(5)
    static let linkHeartbeatInterval = TimeAmount.nanoseconds(5_000_000_000 / 3)
    /// A member that gives its database and sends nothing for so long has stopped doing so.
    static let databaseSilence = TimeAmount.seconds(30)
    /// Between a failed dial or a lost stream and the next dial.
    static let redialInterval = TimeAmount.milliseconds(100)
    /// What a peer may take to answer a post.
    static let postTimeout = TimeAmount.seconds(5)
    /// Between two probes over the same spare line; etcd closes connections of which it hears nothing for 5 s.
    static let probingInterval = TimeAmount.seconds(4)
    /// Before the next probe over the same line.
    static let probeTimeout = TimeAmount.milliseconds(3900)
    /// A difference of the clocks that is warned of.
    static let clockDifference = Duration.seconds(1)
    /// What a request may take to come in completely.
    static let requestTimeout = TimeAmount.minutes(5)
}
