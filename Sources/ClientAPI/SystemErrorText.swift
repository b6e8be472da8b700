internal import Foundation

/// The system's words for an error number, in Go's spelling: without a capital at the start.
enum SystemErrorText {
    static func text(_ errorNumber: Int32) -> String {
        let text = String(cString: strerror(errorNumber))
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}
