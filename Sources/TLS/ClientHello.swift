package import NIOCore

/// What the first message of a TLS client says about sessions: RFC 8446 sections 4.1.2, 4.2.11 and 5.1, RFC 5077.
package enum ClientHello: Equatable {
    /// More bytes are needed to tell.
    case incomplete
    /// A new session is wanted.
    case new
    /// One from before is offered to be resumed, or it cannot be told.
    case mayResume

    /// - Parameters:
    ///   - bytes: all that has come from the client so far.
    ///   - allowsTLS13: whether the server speaks it. Then clients that do send a session ID that means nothing.
    package init(_ bytes: ByteBuffer, allowsTLS13: Bool) {
        var records = bytes
        var message = ByteBuffer()
        var length: Int?
        while true {
            if length == nil, let header = message.readInteger(as: UInt32.self) {
                guard header >> 24 == Self.clientHello, header & 0xFF_FFFF <= Self.longest else {
                    self = .mayResume
                    return
                }
                length = Int(header & 0xFF_FFFF)
            }
            if let length, var body = message.readSlice(length: length) {
                self = Self.asksForNew(&body, allowsTLS13: allowsTLS13) == true ? .new : .mayResume
                return
            }
            guard let type = records.readInteger(as: UInt8.self) else { break }
            guard type == Self.handshakeRecord else {
                self = .mayResume
                return
            }
            // Version, which says nothing.
            guard records.readInteger(as: UInt16.self) != nil, let size = records.readInteger(as: UInt16.self),
                var fragment = records.readSlice(length: Int(size))
            else { break }
            message.writeBuffer(&fragment)
        }
        self = bytes.readableBytes < TLSLimits.helloBytes ? .incomplete : .mayResume
    }

    private static let handshakeRecord: UInt8 = 22
    private static let clientHello: UInt32 = 1
    /// Bytes of a message that BoringSSL takes.
    private static let longest: UInt32 = 16384
    private static let sessionTicket: UInt16 = 35
    private static let preSharedKey: UInt16 = 41
    private static let supportedVersions: UInt16 = 43
    private static let tls13: UInt16 = 0x0304

    /// - Returns: nil for what does not follow the format.
    private static func asksForNew(_ body: inout ByteBuffer, allowsTLS13: Bool) -> Bool? {
        // Version and random; session ID; cipher suites; compression methods.
        guard body.readSlice(length: 2 + 32) != nil, let session = body.readLengthPrefixedSlice(as: UInt8.self),
            body.readLengthPrefixedSlice(as: UInt16.self) != nil, body.readLengthPrefixedSlice(as: UInt8.self) != nil
        else { return nil }
        var speaksTLS13 = false
        if body.readableBytes > 0 {
            guard var extensions = body.readLengthPrefixedSlice(as: UInt16.self), body.readableBytes == 0 else {
                return nil
            }
            while extensions.readableBytes > 0 {
                guard let type = extensions.readInteger(as: UInt16.self),
                    var value = extensions.readLengthPrefixedSlice(as: UInt16.self)
                else { return nil }
                switch type {
                case preSharedKey: return false
                // Empty: the client would take one.
                case sessionTicket where value.readableBytes > 0: return false
                case supportedVersions:
                    guard var versions = value.readLengthPrefixedSlice(as: UInt8.self) else { return nil }
                    while let version = versions.readInteger(as: UInt16.self) {
                        if version == tls13 { speaksTLS13 = true }
                    }
                default: break
                }
            }
        }
        return session.readableBytes == 0 || (speaksTLS13 && allowsTLS13)
    }
}
