/// bcrypt, as etcd stores passwords.
public protocol Passwords: Sendable {
    /// The bcrypt text of a password, beginning with `$2a$`. Bytes beyond the 72nd do not count. A pure function: the
    /// same arguments give the same text everywhere.
    /// - Parameters:
    ///   - salt: 16 bytes.
    ///   - cost: 4…31; each step doubles the time.
    /// - Returns: nil if the password holds a zero byte, or an argument is out of range.
    func bcrypt(_ password: [UInt8], salt: [UInt8], cost: Int) -> [UInt8]?
}
