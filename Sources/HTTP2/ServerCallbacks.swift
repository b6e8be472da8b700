internal import CNGHTTP2
internal import NIOCore

// The functions that nghttp2 calls for a server connection. Each finds the connection in `userData` and turns pointers
// into buffers that live as long as the call. What they return tells nghttp2 whether it may go on.
//
// SAFETY, for all of them: `userData` is the `ServerConnection` that owns the session and called into it, so it is
// alive, and this is its event loop. `frame`, names, values and data are valid during the call with the counts given.

/// Calls `body` with the connection, without retaining it: a request makes a dozen callbacks.
/// - Returns: nil without a connection, which does not happen.
@inline(__always)
private func withConnection<R>(_ userData: UnsafeMutableRawPointer?, _ body: (ServerConnection) -> R) -> R? {
    guard let userData else { return nil }
    // SAFETY: see above; alive, because it is calling into the session that calls this.
    return Unmanaged<ServerConnection>.fromOpaque(userData)._withUnsafeGuaranteedRef(body)
}

func registerServerCallbacks(_ callbacks: OpaquePointer?) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, userData in
        // SAFETY: see the head of the file.
        guard let frame else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        return withConnection(userData) { server in
            if frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
                server.didBeginRequest(frame.pointee.hd.stream_id)
            }
            return 0
        } ?? NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) {
        _, frame, name, nameCount, value, valueCount, _, userData in
        // SAFETY: see the head of the file.
        guard let frame else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        guard frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST else { return 0 }
        return withConnection(userData) { server in
            let accepted = server.didReceiveHeader(
                name: UnsafeBufferPointer(start: name, count: nameCount),
                value: UnsafeBufferPointer(start: value, count: valueCount))
            return accepted ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        } ?? NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, data, count, userData in
        // SAFETY: see the head of the file.
        withConnection(userData) { server in
            server.didReceiveData(stream, UnsafeBufferPointer(start: data, count: count))
            return 0
        } ?? NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, userData in
        // SAFETY: see the head of the file.
        guard let frame else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        return withConnection(userData) { server in
            didReceive(frame, on: server)
            return 0
        } ?? NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    }
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, _, _, userData in
        withConnection(userData) { $0.didReceiveIdleFrame() }
        return 0
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, error, userData in
        withConnection(userData) { $0.didCloseStream(stream, error: error) }
        return 0
    }
    nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, _, frameHeader, count, source, userData in
        // SAFETY: see the head of the file; a frame header is nine bytes.
        guard let source else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        return withConnection(userData) { server in
            server.writeBody(
                slot: Int(source.pointee.fd), count: count,
                frameHeader: UnsafeBufferPointer(start: frameHeader, count: 9))
            return 0
        } ?? NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    }
}

private func didReceive(_ frame: UnsafePointer<nghttp2_frame>, on server: ServerConnection) {
    // SAFETY: see the head of the file.
    let header = frame.pointee.hd
    let endsStream = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    switch UInt32(header.type) {
    case NGHTTP2_HEADERS.rawValue:
        if frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST { server.didEndHeaders(header.stream_id) }
        if endsStream { server.didEndRequest(header.stream_id) }
    case NGHTTP2_DATA.rawValue:
        if endsStream {
            server.didEndRequest(header.stream_id)
        } else if header.length == 0 {
            server.didReceiveIdleFrame()
        }
    case NGHTTP2_PING.rawValue:
        // SAFETY: see the head of the file; the payload is an array of eight bytes.
        let payload = withUnsafeBytes(of: frame.pointee.ping.opaque_data) { $0.loadUnaligned(as: UInt64.self) }
        let isAnswer = header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0
        server.didReceivePing(UInt64(bigEndian: payload), isAnswer: isAnswer)
    case NGHTTP2_RST_STREAM.rawValue, NGHTTP2_WINDOW_UPDATE.rawValue, NGHTTP2_GOAWAY.rawValue:
        break
    default:
        server.didReceiveIdleFrame()
    }
}

/// Tells nghttp2 how much of the answer goes into the next DATA frame; ``ServerConnection/writeBody`` writes it.
let readServerBody: nghttp2_data_source_read_callback = { session, stream, _, limit, flags, source, userData in
    // SAFETY: see the head of the file.
    guard let source, let flags else { return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
    return withConnection(userData) { server in
        flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
        switch server.nextFrame(slot: Int(source.pointee.fd), limit: limit) {
        case .bytes(let count): return count
        case .last(let count, let status):
            flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
            guard Session.submitTrailers(session, stream, status) else {
                return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
            }
            return count
        case .wait: return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
    } ?? Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
}
