import Testing
import martlet

/// The flags of TLS: where they go, what does not fit together, and what follows from URLs.
@Suite struct SecurityFlagTests {
    private func read(_ arguments: [String], file: String = "") -> Result<ServerConfiguration, Refusal> {
        Result { () throws(Refusal) in
            let result = try ConfigurationReader.read(
                arguments: arguments, environment: [], readFile: { _ throws(ValueError) in file })
            guard case .serve(let configuration, _) = result else { throw .invalid("nothing to serve") }
            return configuration
        }
    }

    @Test func flags() throws {
        let it = try read([
            "--cert-file=c", "--key-file=k", "--client-cert-file=cc", "--client-key-file=ck", "--trusted-ca-file=ca",
            "--client-cert-auth", "--client-crl-file=crl", "--client-cert-allowed-hostname=a,b", "--peer-cert-file=pc",
            "--peer-key-file=pk", "--peer-client-cert-file=pcc", "--peer-client-key-file=pck",
            "--peer-trusted-ca-file=pca", "--peer-client-cert-auth", "--peer-cert-allowed-cn=m",
            "--peer-skip-client-san-verification", "--peer-crl-file=pcrl", "--self-signed-cert-validity=3",
            "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "--tls-max-version=TLS1.2",
        ]).get()
        var client = SecurityOptions()
        client.certFile = "c"
        client.keyFile = "k"
        client.clientCertFile = "cc"
        client.clientKeyFile = "ck"
        client.trustedCAFile = "ca"
        client.clientCertAuth = true
        client.crlFile = "crl"
        client.allowedHostnames = ["a", "b"]
        #expect(it.clientSecurity == client)
        var peer = SecurityOptions()
        peer.certFile = "pc"
        peer.keyFile = "pk"
        peer.clientCertFile = "pcc"
        peer.clientKeyFile = "pck"
        peer.trustedCAFile = "pca"
        peer.clientCertAuth = true
        peer.crlFile = "pcrl"
        peer.allowedCNs = ["m"]
        peer.skipClientSANVerification = true
        #expect(it.peerSecurity == peer)
        #expect(it.selfSignedCertificateYears == 3 && it.tlsMaximumVersion == "TLS1.2")
        #expect(it.cipherSuites == ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"])
    }

    @Test func configurationFile() throws {
        let it = try read(
            ["--config-file=c.yml"],
            file: """
                client-transport-security:
                  cert-file: c
                  key-file: k
                  client-cert-auth: true
                  trusted-ca-file: ca
                peer-transport-security:
                  auto-tls: true
                  allowed-hostname: h
                  skip-client-san-verification: true
                self-signed-cert-validity: 0
                tls-min-version: TLS1.3
                """
        ).get()
        #expect(it.clientSecurity.certFile == "c" && it.clientSecurity.keyFile == "k")
        #expect(it.clientSecurity.trustedCAFile == "ca" && it.clientSecurity.clientCertAuth)
        #expect(it.peerSecurity.autoTLS && it.peerSecurity.skipClientSANVerification)
        #expect(it.peerSecurity.allowedHostnames == ["h"])
        #expect(it.tlsMinimumVersion == "TLS1.3")
    }

    @Test(arguments: [
        (["--cert-file=c"], "KeyFile and CertFile must both be present[key: , cert: c]"),
        (["--peer-key-file=k"], "KeyFile and CertFile must both be present[key: k, cert: ]"),
        (
            ["--peer-client-cert-file=c"],
            "ClientKeyFile and ClientCertFile must both be present or both absent: key: , cert: c]"
        ),
        (
            ["--peer-cert-allowed-cn=a", "--peer-cert-allowed-hostname=b"],
            "AllowedCN and AllowedHostname are mutually exclusive (cn=\"a\", hostname=\"b\")"
        ),
        (["--cipher-suites=foo"], "unexpected TLS cipher suite \"foo\""),
        (
            ["--cipher-suites=TLS_RSA_WITH_RC4_128_SHA"],
            "none of the cipher suites TLS_RSA_WITH_RC4_128_SHA is supported; "
                + "add one such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        ),
        (
            ["--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "--tls-min-version=TLS1.3"],
            "cipher suites cannot be configured when only TLS1.3 is enabled"
        ),
        (
            ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            "min version (TLS1.3) is greater than max version (TLS1.2)"
        ),
        (["--tls-min-version=TLS1.1"], "unexpected TLS version \"TLS1.1\", must be one of [TLS1.2 TLS1.3]"),
        (
            ["--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://127.0.0.1:1"],
            "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme"
        ),
        (
            ["--listen-peer-urls=https://127.0.0.1:1"],
            "cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented (--peer-cert-file, --peer-key-file)"
        ),
        (["--self-signed-cert-validity=1001"], "--self-signed-cert-validity must be at most 1000"),
    ])
    func refused(_ arguments: [String], _ words: String) {
        #expect(throws: Refusal.invalid(words)) { try read(arguments).get() }
    }

    @Test(arguments: [
        ["--listen-peer-urls=https://127.0.0.1:1", "--peer-auto-tls"],
        ["--listen-metrics-urls=https://127.0.0.1:1", "--auto-tls"],
        ["--cert-file=c", "--key-file=k"],
    ])
    func accepted(_ arguments: [String]) throws { _ = try read(arguments).get() }
}
