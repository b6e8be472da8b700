package enum Version {
    /// The version of etcd whose API, flags and formats these are.
    package static let api = "3.7.1"
    package static let martlet = "0.1.0"

    /// The compiler that built this, as far as its language version tells.
    package static var swift: String {
        #if compiler(>=6.4)
            "6.4 or later"
        #elseif compiler(>=6.3.1)
            "6.3.1 or later"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2"
        #endif
    }

    /// In Go's words, as etcd prints it.
    package static var platform: String {
        #if arch(x86_64)
            let architecture = "amd64"
        #elseif arch(arm64)
            let architecture = "arm64"
        #else
            let architecture = "unknown"
        #endif
        return "linux/\(architecture)"
    }
}
