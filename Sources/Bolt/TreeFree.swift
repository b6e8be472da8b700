extension Tree {
    /// Frees every page below the root, and those of the buckets inside it.
    /// - Parameter isOpened: whether the bucket of this name frees its own pages.
    func freeAll(depth: Int, isOpened: ([UInt8]) -> Bool) throws(BoltError) {
        try freeAll(root, depth: depth, isOpened: isOpened)
        root = .leaf(Leaf())
    }

    private func freeAll(_ child: Child, depth: Int, isOpened: ([UInt8]) -> Bool) throws(BoltError) {
        switch child {
        case .branch(let branch):
            for item in branch.items { try freeAll(item.child, depth: depth + 1, isOpened: isOpened) }
        case .leaf(let leaf):
            for index in 0..<leaf.count where leaf.items[index].isBucket && !isOpened(leaf.key(index).array) {
                try freeBucket(leaf.value(index), page: 0, depth: depth)
            }
        case .page(let id):
            try freePage(id, depth: depth, isOpened: isOpened)
        }
    }

    private func freePage(_ id: UInt64, depth: Int, isOpened: ([UInt8]) -> Bool) throws(BoltError) {
        guard depth < Layout.maxDepth else { throw deeper(than: id) }
        let page = try pages.page(id)
        for index in 0..<page.count {
            if page.isLeaf {
                let element = try page.leafElement(index)
                if element.isBucket, !isOpened(page.key(element).array) {
                    try freeBucket(page.value(element), page: id, depth: depth)
                }
            } else {
                try freePage(try page.branchElement(index).child, depth: depth + 1, isOpened: isOpened)
            }
        }
        pages.free(id, count: page.overflow + 1)
    }

    private func freeBucket(_ value: PageBytes, page: UInt64, depth: Int) throws(BoltError) {
        let (header, inline) = try BucketHeader.decode(value, page: page, source: pages.source)
        if inline == nil { try freePage(header.root, depth: depth + 1) { _ in false } }
    }
}
