package import NIOCore

extension NIOBSDSocket.Option {
    /// SO_REUSEPORT of Linux (asm-generic/socket.h), which NIO has no name for.
    package static let reusePort = NIOBSDSocket.Option(rawValue: 15)
}
