package import NIOCore

/// A message on its way out, with its 5-byte prefix, in as many pieces as DATA frames take.
package struct MessageWriter {
    private let message: ArraySlice<UInt8>
    private var sent = 0

    package init(message: ArraySlice<UInt8>) { self.message = message }

    package var hasBegun: Bool { sent > 0 }

    package var remaining: Int { MessageReader.prefixBytes + message.count - sent }

    package mutating func write(_ count: Int, to output: inout ByteBuffer) {
        precondition(count <= remaining)
        var left = count
        while left > 0 && sent < MessageReader.prefixBytes {
            if sent == 0 && left >= MessageReader.prefixBytes {
                output.writeMultipleIntegers(UInt8(0), UInt32(message.count))
                sent = MessageReader.prefixBytes
                left -= MessageReader.prefixBytes
            } else {
                let prefix = UInt64(message.count)
                output.writeInteger(UInt8(truncatingIfNeeded: prefix >> UInt64(8 * (4 - sent))))
                sent += 1
                left -= 1
            }
        }
        if left > 0 {
            let start = message.startIndex + sent - MessageReader.prefixBytes
            output.writeBytes(message[start..<start + left])
            sent += left
        }
    }
}
