internal import CCrypt
public import Platform

/// bcrypt from libxcrypt, which every Debian and Fedora has for its own logins.
public struct LinuxPasswords: Passwords {
    public init() {}

    public func bcrypt(_ password: [UInt8], salt: [UInt8], cost: Int) -> [UInt8]? {
        guard salt.count == 16, (4...31).contains(cost), !password.contains(0) else { return nil }
        // More would be refused as too long; bcrypt does not read it.
        let phrase = password.prefix(72).map { CChar(bitPattern: $0) } + [0]
        let random = salt.map { CChar(bitPattern: $0) }
        var setting = [CChar](repeating: 0, count: Int(CRYPT_GENSALT_OUTPUT_SIZE))
        // SAFETY: both buffers live through the call and their sizes are passed with them; NULL means failure.
        let made = random.withUnsafeBufferPointer { bytes in
            setting.withUnsafeMutableBufferPointer { out in
                crypt_gensalt_rn(
                    "$2a$", UInt(cost), bytes.baseAddress, CInt(bytes.count), out.baseAddress, CInt(out.count)) != nil
            }
        }
        guard made else { return nil }
        var data = crypt_data()
        // SAFETY: phrase and setting end with a zero; `data` is of the size passed and outlives the reading of `text`,
        // which points into it.
        return withUnsafeMutablePointer(to: &data) { data in
            guard let text = crypt_rn(phrase, setting, data, CInt(MemoryLayout<crypt_data>.size)) else { return nil }
            return Array(String(cString: text).utf8)
        }
    }
}
