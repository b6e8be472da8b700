internal import CNGHTTP2
internal import NIOCore

// The functions that nghttp2 calls for a client connection; see `ServerCallbacks.swift`.
//
// SAFETY, for all of them: `userData` is the `ClientConnection` that owns the session and called into it, so it is
// alive, and this is its event loop. `frame`, names, values and data are valid during the call with the counts given.

private func connection(_ userData: UnsafeMutableRawPointer?) -> ClientConnection? {
    // SAFETY: see above.
    userData.map { Unmanaged<ClientConnection>.fromOpaque($0).takeUnretainedValue() }
}

func registerClientCallbacks(_ callbacks: OpaquePointer?) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, userData in
        // SAFETY: see the head of the file.
        guard let frame, let client = connection(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        client.didBeginHeaders(frame.pointee.hd.stream_id)
        return 0
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) {
        _, _, name, nameCount, value, valueCount, _, userData in
        // SAFETY: see the head of the file.
        guard let client = connection(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        let accepted = client.didReceiveHeader(
            name: UnsafeBufferPointer(start: name, count: nameCount),
            value: UnsafeBufferPointer(start: value, count: valueCount))
        return accepted ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, data, count, userData in
        // SAFETY: see the head of the file.
        guard let client = connection(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        client.didReceiveData(stream, UnsafeBufferPointer(start: data, count: count))
        return 0
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, userData in
        // SAFETY: see the head of the file.
        guard let frame, let client = connection(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        if UInt32(frame.pointee.hd.type) == NGHTTP2_GOAWAY.rawValue { client.didReceiveGoAway() }
        return 0
    }
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, userData in
        // SAFETY: see the head of the file.
        guard let frame, let client = connection(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        if UInt32(frame.pointee.hd.type) == NGHTTP2_HEADERS.rawValue {
            client.didCloseStream(frame.pointee.hd.stream_id, error: ErrorCode.refusedStream)
        }
        return 0
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, error, userData in
        connection(userData)?.didCloseStream(stream, error: error)
        return 0
    }
    nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, _, frameHeader, count, source, userData in
        // SAFETY: see the head of the file; a frame header is nine bytes.
        guard let source, let client = connection(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        client.writeBody(
            slot: Int(source.pointee.fd), count: count,
            frameHeader: UnsafeBufferPointer(start: frameHeader, count: 9))
        return 0
    }
}

/// Tells nghttp2 how much of the request goes into the next DATA frame; ``ClientConnection/writeBody`` writes it.
let readClientBody: nghttp2_data_source_read_callback = { _, _, _, limit, flags, source, userData in
    // SAFETY: see the head of the file.
    guard let source, let flags, let client = connection(userData) else {
        return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
    }
    let remaining = client.remainingBody(slot: Int(source.pointee.fd))
    flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    if remaining <= limit { flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
    return min(limit, remaining)
}
