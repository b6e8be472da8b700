extension Tree {
    /// Removes nodes that deletes have emptied, and merges those that they have left smaller than a quarter of a page
    /// with a neighbour.
    func rebalance() throws(BoltError) {
        guard case .branch(let branch) = root else { return }
        try rebalance(branch)
        // A root with one child gives its place to the child; one without is an empty bucket.
        while case .branch(let branch) = root, branch.count <= 1 {
            root = branch.count == 0 ? .leaf(Leaf()) : branch.items[0].child
        }
    }

    private func rebalance(_ branch: Branch) throws(BoltError) {
        for item in branch.items {
            if case .branch(let child) = item.child { try rebalance(child) }
        }
        var index = 0
        while index < branch.count {
            guard isTooSmall(branch.items[index].child) else {
                index += 1
                continue
            }
            if isEmpty(branch.items[index].child) {
                branch.remove(at: index)
            } else if branch.count == 1 {
                index += 1
            } else {
                let left = max(0, index - 1)
                try mergeWithNext(branch, left)
                index = left
            }
        }
    }

    private func isTooSmall(_ child: Child) -> Bool {
        switch child {
        case .page: false
        case .leaf(let leaf): leaf.isShrunk && (leaf.count == 0 || leaf.size < pages.pageSize / 4)
        case .branch(let branch): branch.count < 2 || (branch.isShrunk && branch.size < pages.pageSize / 4)
        }
    }

    private func isEmpty(_ child: Child) -> Bool {
        switch child {
        case .page: false
        case .leaf(let leaf): leaf.count == 0
        case .branch(let branch): branch.count == 0
        }
    }

    /// Moves the items of child `index + 1` into child `index`, whatever size that gives; writing splits it again.
    private func mergeWithNext(_ branch: Branch, _ index: Int) throws(BoltError) {
        let left = try node(branch.items[index].child)
        let right = try node(branch.items[index + 1].child)
        branch.setChild(left, at: index)
        switch (left, right) {
        case (.leaf(let left), .leaf(let right)):
            left.absorb(right)
            left.isShrunk = true
        case (.branch(let left), .branch(let right)):
            left.absorb(right)
            left.isShrunk = true
        default:
            throw .corrupted(
                file: pages.source.path, page: 0, reason: "a branch page and a leaf page are on the same level")
        }
        branch.remove(at: index + 1)
    }
}
