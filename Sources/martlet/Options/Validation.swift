internal import TLS

extension ServerConfiguration {
    private static let longestElection: UInt64 = 50_000
    /// In years: beyond them, the year of the end has five digits.
    private static let longestValidity: UInt64 = 1_000

    /// What etcd checks before it starts, in its words where they are known.
    /// - Parameter fromFile: a file may name client listeners without saying what to advertise.
    package func validate(fromFile: Bool) throws(ValueError) {
        guard ["json", "console"].contains(logFormat) else {
            throw ValueError("unknown log format: \(logFormat), supported values json, console")
        }
        try validateLogOutputs()
        for urls in [listenPeerURLs, listenClientURLs, listenMetricsURLs] { try validateListeners(urls) }
        try validateAdvertised(initialAdvertisePeerURLs, "--initial-advertise-peer-urls")
        try validateAdvertised(advertiseClientURLs, "--advertise-client-urls")
        try validateDiscovery()
        try validateTicks()
        if explicit.contains("listen-client-urls") && !explicit.contains("advertise-client-urls") && !fromFile {
            throw ValueError("--advertise-client-urls is required when --listen-client-urls is set explicitly")
        }
        try validateLimits()
        try validateSecurity()
    }

    /// What can be told without looking at files.
    private func validateSecurity() throws(ValueError) {
        do throws(TLSSetupError) {
            try clientTLS.validate()
            try peerTLS.validate()
        } catch {
            throw ValueError(error.description)
        }
        for url in listenClientURLs + listenMetricsURLs where url.isSecure {
            guard clientSecurity.hasCertificate || clientSecurity.autoTLS else {
                throw ValueError(
                    "TLS key/cert (--cert-file, --key-file) must be provided for client url \(url) with HTTPS scheme")
            }
        }
        for url in listenPeerURLs where url.isSecure {
            if url.isUnixSocket { throw ValueError("\(url): peers do not speak TLS over Unix sockets; use unix") }
            guard peerSecurity.hasCertificate || peerSecurity.autoTLS else {
                throw ValueError(
                    "cannot listen on TLS for \(url.address): KeyFile and CertFile are not presented "
                        + "(--peer-cert-file, --peer-key-file)")
            }
        }
        if selfSignedCertificateYears > Self.longestValidity {
            throw ValueError("--self-signed-cert-validity must be at most \(Self.longestValidity)")
        }
    }

    private func validateTicks() throws(ValueError) {
        if heartbeatMilliseconds == 0 { throw ValueError("--heartbeat-interval must be >0 (set to 0ms)") }
        if electionMilliseconds == 0 { throw ValueError("--election-timeout must be >0 (set to 0ms)") }
        let (fivefold, overflow) = heartbeatMilliseconds.multipliedReportingOverflow(by: 5)
        if overflow || fivefold > electionMilliseconds {
            throw ValueError(
                "--election-timeout[\(electionMilliseconds)ms] should be at least as 5 times as "
                    + "--heartbeat-interval[\(heartbeatMilliseconds)ms]")
        }
        if electionMilliseconds > Self.longestElection {
            throw ValueError(
                "--election-timeout[\(electionMilliseconds)ms] is too long, and should be set less than "
                    + "\(Self.longestElection)ms")
        }
    }

    /// Host names would have to be looked up, and could move: listeners take addresses.
    private func validateListeners(_ urls: [ServerURL]) throws(ValueError) {
        for url in urls where !url.isUnixSocket {
            guard url.host == "localhost" || IPAddress.isValid(url.host) else {
                throw ValueError("expected IP in URL for binding (\(url))")
            }
        }
    }

    private func validateAdvertised(_ urls: [ServerURL], _ flag: String) throws(ValueError) {
        for url in urls where !url.isUnixSocket && url.host.isEmpty {
            throw ValueError("\(flag) \"\(url)\" must be \"host:port\" (unexpected empty host (\(url)))")
        }
    }

    private func validateLogOutputs() throws(ValueError) {
        if logOutputs.isEmpty { throw ValueError("couldn't open sink \"\": open : no such file or directory") }
        if logOutputs.count > 1 && logOutputs.contains("default") {
            throw ValueError("multi logoutput for \"default\" is not supported yet")
        }
        if logOutputs.contains("systemd/journal") {
            throw ValueError(
                "--log-outputs=systemd/journal: Martlet does not write to the journal itself yet; use stderr")
        }
    }

    /// Upper bounds keep sums of these within integers.
    private func validateLimits() throws(ValueError) {
        for (flag, value) in [
            ("--max-txn-ops", maxTxnOperations), ("--max-request-bytes", maxRequestBytes),
            ("--max-snapshots", maxSnapshots), ("--max-wals", maxWALs),
        ] where value > UInt64(Int32.max) {
            throw ValueError("\(flag) must be at most \(Int32.max) (set to \(value))")
        }
        let slowest: UInt64 = 16 << 10
        if snapshotSendBytesPerSecond > 0 && snapshotSendBytesPerSecond < slowest {
            throw ValueError(
                "--snapshot-send-bytes-per-second must be 0 or at least \(slowest) "
                    + "(set to \(snapshotSendBytesPerSecond))")
        }
        if corruptCheckTime < .zero { throw ValueError("--corrupt-check-time must not be negative") }
        if compactHashCheckTime <= .zero { throw ValueError("--compact-hash-check-time must be >0") }
        if featureGates.isOn(.leaseCheckpointPersist), !featureGates.isOn(.leaseCheckpoint) {
            throw ValueError(
                "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint")
        }
        if let gate = featureGates.unsupported.first {
            throw ValueError(
                "the feature gate \(gate) is one of etcd's that Martlet does not support yet; leave it at its default")
        }
        if backendBatchInterval < .zero {
            throw ValueError("--backend-batch-interval must not be negative")
        }
        if backendBatchLimit < 0 || backendBatchLimit > Int64(Int32.max) {
            throw ValueError("--backend-batch-limit must be between 0 and \(Int32.max) (set to \(backendBatchLimit))")
        }
    }
}

/// Numeric addresses, told apart from host names without asking the system.
enum IPAddress {
    static func isValid(_ text: String) -> Bool { isIPv4(text[...]) || isIPv6(text[...]) }

    private static func isIPv4(_ text: Substring) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { part in
                (1...3).contains(part.count) && part.allSatisfy { $0.isASCII && $0.isNumber } && UInt8(part) != nil
            }
    }

    private static func isIPv6(_ text: Substring) -> Bool {
        let address = text.prefix { $0 != "%" }
        guard address.contains(":") else { return false }
        let halves = address.split(separator: "::", maxSplits: 2, omittingEmptySubsequences: false)
        guard halves.count <= 2 else { return false }
        var groups = 0
        for (i, half) in halves.enumerated() where !half.isEmpty {
            let parts = half.split(separator: ":", omittingEmptySubsequences: false)
            for (j, part) in parts.enumerated() {
                let isLast = i == halves.count - 1 && j == parts.count - 1
                if isLast && part.contains(".") {
                    guard isIPv4(part) else { return false }
                    groups += 2
                } else {
                    guard (1...4).contains(part.count), part.allSatisfy({ $0.isASCII && $0.isHexDigit }) else {
                        return false
                    }
                    groups += 1
                }
            }
        }
        return halves.count == 2 ? groups < 8 : groups == 8
    }
}
