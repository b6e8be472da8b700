extension Tree {
    /// Lays out every node as pages, splitting those that are larger than one, and returns the root page's id.
    func write() throws(BoltError) -> UInt64 {
        var top = Branch()
        switch root {
        case .page(let id): return id
        case .leaf(let leaf): try write(leaf, isLast: true, into: top)
        case .branch(let branch): try write(branch, isLast: true, into: top)
        }
        while top.count > 1 {
            let above = Branch()
            try writePages(top, isLast: true, into: above)
            top = above
        }
        guard case .page(let id) = top.items[0].child else { preconditionFailure("a node was left unwritten") }
        root = .page(id)
        return id
    }

    /// Lays out a leaf and appends its pages to `parent`.
    /// - Parameter isLast: it is the tree's last leaf: keys are expected behind it, so its pages are filled.
    func write(_ leaf: Leaf, isLast: Bool, into parent: Branch) throws(BoltError) {
        guard leaf.count > 0 else {
            // Only the root of an empty bucket.
            return parent.append(.empty, .page(try writePage(leaf, 0..<0)))
        }
        var start = 0
        var rest = leaf.size - Layout.pageHeader
        while start < leaf.count {
            let end = cut(from: start, count: leaf.count, rest: rest, isLast: isLast) { leaf.items[$0].size }
            for index in start..<end { rest -= leaf.items[index].size }
            parent.append(leaf.key(start), .page(try writePage(leaf, start..<end)))
            start = end
        }
    }

    /// Where the next of several pages ends: at a full page in the last node of the tree, otherwise so that the
    /// remaining `rest` bytes are spread evenly.
    @inline(__always)
    private func cut(from start: Int, count: Int, rest: Int, isLast: Bool, _ itemSize: (Int) -> Int) -> Int {
        let room = pages.pageRoom - Layout.pageHeader
        if rest <= room { return count }
        let full = pageEnd(from: start, count: count, size: Layout.pageHeader, isEmpty: true, itemSize)
        if isLast { return full }
        let share = rest / ((rest + room - 1) / room)
        var end = start
        var size = 0
        while end < full, end == start || size < share {
            size += itemSize(end)
            end += 1
        }
        return end
    }

    /// Lays out everything below a branch, then the branch, and appends its pages to `parent`.
    private func write(_ branch: Branch, isLast: Bool, into parent: Branch) throws(BoltError) {
        let written = Branch()
        for index in 0..<branch.count {
            let isLast = isLast && index == branch.count - 1
            switch branch.items[index].child {
            case .page: written.append(branch.key(index), branch.items[index].child)
            case .leaf(let leaf): try write(leaf, isLast: isLast, into: written)
            case .branch(let child): try write(child, isLast: isLast, into: written)
            }
        }
        try writePages(written, isLast: isLast, into: parent)
    }

    /// Lays out a branch whose children are all pages. A page gets two children at least.
    private func writePages(_ branch: Branch, isLast: Bool, into parent: Branch) throws(BoltError) {
        var start = 0
        var rest = branch.size - Layout.pageHeader
        while start < branch.count {
            var end = cut(from: start, count: branch.count, rest: rest, isLast: isLast) { branch.items[$0].size }
            end = min(branch.count, max(end, start + 2))
            if branch.count - end == 1 { end = end - start > 2 ? end - 1 : branch.count }
            for index in start..<end { rest -= branch.items[index].size }
            parent.append(branch.key(start), .page(try writePage(branch, start..<end)))
            start = end
        }
    }

    private func writePage(_ leaf: Leaf, _ range: Range<Int>) throws(BoltError) -> UInt64 {
        var size = Layout.pageHeader
        for index in range { size += leaf.items[index].size }
        let (id, writer) = try pages.allocate(pageNumber(size))
        writer.finish(from: leaf.write(range, to: writer, id: id, pageSize: pages.pageSize))
        return id
    }

    private func writePage(_ branch: Branch, _ range: Range<Int>) throws(BoltError) -> UInt64 {
        var size = Layout.pageHeader
        for index in range { size += branch.items[index].size }
        let (id, writer) = try pages.allocate(pageNumber(size))
        writer.header(id, flags: Layout.branchFlag, count: range.count, pageSize: pages.pageSize)
        var data = Layout.pageHeader + Layout.element * range.count
        var element = Layout.pageHeader
        for index in range {
            guard case .page(let child) = branch.items[index].child else {
                preconditionFailure("a node was left unwritten")
            }
            let key = branch.key(index)
            writer.put(UInt32(data - element), at: element)
            writer.put(UInt32(key.count), at: element + 4)
            writer.put(child, at: element + 8)
            writer.put(key, at: data)
            data += key.count
            element += Layout.element
        }
        writer.finish(from: data)
        return id
    }
}

extension Leaf {
    /// Lays out items as a page image, and returns where it ends.
    func write(_ range: Range<Int>, to writer: PageWriter, id: UInt64, pageSize: Int) -> Int {
        writer.header(id, flags: Layout.leafFlag, count: range.count, pageSize: pageSize)
        var data = Layout.pageHeader + Layout.element * range.count
        var element = Layout.pageHeader
        for index in range {
            let item = items[index]
            let bytes = bytes(item)
            writer.leafElement(
                at: element, isBucket: item.isBucket, data: data, key: Int(item.keyCount), value: Int(item.valueCount))
            writer.put(bytes, at: data)
            data += bytes.count
            element += Layout.element
        }
        return data
    }
}
