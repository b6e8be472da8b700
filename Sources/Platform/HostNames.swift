/// The system's names of hosts. Calls block for as long as the name service takes.
public protocol HostNames: Sendable {
    /// The numeric addresses of a host name; empty when it has none.
    func addresses(of name: String) -> [String]
    /// The host name of a numeric address; nil when it has none.
    func name(of address: String) -> String?
}
