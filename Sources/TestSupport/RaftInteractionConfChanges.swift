import Base
import RaftCore

/// The language of configuration-change transcripts: one membership, changed command by command.
final class RaftInteractionConfChanges {
    private var changer = Changer(
        tracker: Tracker(maxInflightMessages: 10, maxInflightBytes: 0), lastIndex: .zero)

    func handle(_ command: RaftInteractionFile.Command) -> String {
        // Every command counts as an entry, so that `next` tells when a member was added.
        defer { changer.lastIndex = changer.lastIndex.next() }
        do {
            let changes = try parseConfChanges(command.input)
            let outcome: Changer.Outcome
            switch command.name {
            case "simple": outcome = try changer.simple(changes)
            case "enter-joint":
                let autoLeave = command.arguments.isEmpty ? false : try parseBool(try command.value("autoleave"))
                outcome = try changer.enterJoint(autoLeave: autoLeave, changes)
            case "leave-joint":
                if !changes.isEmpty { return "this command takes no input\n" }
                outcome = try changer.leaveJoint()
            default: return "unknown command"
            }
            changer.tracker.configuration = outcome.configuration
            changer.tracker.progress = outcome.progress
            return "\(outcome.configuration)\n\(outcome.progress)"
        } catch let error as ConfChangeError {
            return "\(error)\n"
        } catch {
            return "\(error)"
        }
    }
}

/// A message for the reader of a transcript.
struct RaftInteractionError: Error, CustomStringConvertible {
    var description: String
}

/// Reads `v1 l2 r3 u4`: add a voter, add a learner, remove, update.
func parseConfChanges(_ text: String) throws -> [ConfChangeSingle] {
    let text = text.trimmed
    if text.isEmpty { return [] }
    return try text.split(separator: " ", omittingEmptySubsequences: false).map { token in
        guard token.utf8.count >= 2 else { throw RaftInteractionError(description: "unknown token \(token)") }
        let type: ConfChangeType
        switch token.first {
        case "v": type = .addNode
        case "l": type = .addLearnerNode
        case "r": type = .removeNode
        case "u": type = .updateNode
        default: throw RaftInteractionError(description: "unknown input: \(token)")
        }
        let digits = token.dropFirst()
        guard let id = UInt64(digits), digits.first != "+" else {
            let isNumber = digits.allSatisfy { $0.isASCII && $0.isNumber }
            throw RaftInteractionError(
                description:
                    "strconv.ParseUint: parsing \(quoted(Array(digits.utf8))): \(isNumber ? "value out of range" : "invalid syntax")"
            )
        }
        return ConfChangeSingle(type, MemberID(id))
    }
}
