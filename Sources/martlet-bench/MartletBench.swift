internal import ArgumentParser
internal import EtcdProto

/// Load on any server of etcd's v3 API, one request kind at a time, with a key of its own for every request, which
/// general HTTP load generators cannot do.
@main
struct MartletBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet-bench", abstract: "Measures a server of etcd's v3 API.",
        subcommands: [Put.self, Range.self, Outage.self])
}

extension MartletBench {
    struct Put: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Puts distinct keys.")

        @OptionGroup var options: LoadOptions

        func run() async throws {
            let value = [UInt8](repeating: UInt8(ascii: "v"), count: options.valueSize)
            let keySize = options.keySize
            try await report(
                Load(options: options, path: "/etcdserverpb.KV/Put") { number in
                    var message: [UInt8] = []
                    message.reserveCapacity(keySize + value.count + 8)
                    Wire.appendBytesField(1, decimalKey(number, size: keySize), to: &message)
                    if !value.isEmpty { Wire.appendBytesField(2, value, to: &message) }
                    return message
                })
        }
    }

    struct Range: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Reads the keys that `put` has written, one by one.")

        @OptionGroup var options: LoadOptions

        @Flag(help: "Read what the member has, without asking the cluster.")
        var serializable = false

        func run() async throws {
            let keySize = options.keySize
            let serializable = serializable
            try await report(
                Load(options: options, path: "/etcdserverpb.KV/Range") { number in
                    var message: [UInt8] = []
                    Wire.appendBytesField(1, decimalKey(number, size: keySize), to: &message)
                    if serializable { Wire.appendVarintField(7, 1, to: &message) }
                    return message
                })
        }
    }
}

/// `number` in decimal, filled with zeros on the left.
func decimalKey(_ number: Int, size: Int) -> [UInt8] {
    var key = [UInt8](repeating: UInt8(ascii: "0"), count: size)
    var rest = number
    var index = size
    while rest > 0, index > 0 {
        index -= 1
        key[index] = UInt8(ascii: "0") + UInt8(rest % 10)
        rest /= 10
    }
    return key
}

private func report(_ load: Load) async throws {
    let result = try await load.run()
    print("\(result.requests) requests in \(result.seconds.rounded(toPlaces: 2)) s,", terminator: " ")
    print("\(Int(Double(result.requests) / result.seconds)) requests/s;", terminator: " ")
    let (median, tail) = (result.latency(at: 0.5), result.latency(at: 0.99))
    print("latency: median \(median) µs, 99 % \(tail) µs, longest \(result.longest) µs")
}

extension Double {
    fileprivate func rounded(toPlaces places: Int) -> Double {
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        return (self * scale).rounded() / scale
    }
}
