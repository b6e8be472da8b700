/// What a request is taken to add to the backend's file, in bytes, when it is held against the quota.
public enum QuotaCost {
    /// What a row costs beyond key and value.
    static let rowOverhead = 256
    /// The cost of a lease.
    public static let lease = 64

    public static func put(_ command: PutCommand) -> Int {
        rowOverhead + command.key.count + command.value.count
    }

    /// The cost of the branch that costs more; deletes and ranges are free.
    public static func txn(_ command: TxnCommand) -> Int {
        max(branch(command.success), branch(command.failure))
    }

    private static func branch(_ operations: [TxnOperation]) -> Int {
        operations.reduce(0) { sum, operation in
            switch operation {
            case .put(let command): sum + put(command)
            case .txn(let nested): sum + txn(nested)
            case .range, .deleteRange, .empty: sum
            }
        }
    }

    /// Whether a request of a cost fits beside `size` live bytes; a quota of 0 or less is none.
    public static func isAvailable(_ cost: Int, size: Int, quota: Int64) -> Bool {
        quota <= 0 || Int64(size) + Int64(cost) < quota
    }
}
