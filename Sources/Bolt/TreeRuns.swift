/// A sorted run's items as views.
struct RunView {
    let bytes: PageBytes
    let items: [SortedRun.Item]

    @inline(__always) func key(_ index: Int) -> PageBytes {
        bytes.slice(items[index].keyStart, Int(items[index].keyCount))
    }
    @inline(__always) func value(_ index: Int) -> PageBytes {
        bytes.slice(items[index].valueStart, Int(items[index].valueCount))
    }
    /// Bytes that the item takes in a page.
    @inline(__always) func size(_ index: Int) -> Int {
        Layout.element &+ Int(items[index].keyCount) &+ Int(items[index].valueCount)
    }

    /// Refuses keys that are out of order or that no bucket takes.
    func validate() throws(BoltError) {
        for index in items.indices {
            try checkKey(Int(items[index].keyCount))
            try checkValue(Int(items[index].valueCount))
            if index > 0, key(index).compare(key(index - 1)) <= 0 { throw .unsorted(index: index) }
        }
    }
}

func checkKey(_ count: Int) throws(BoltError) {
    guard count > 0 else { throw .keyRequired }
    guard count <= Layout.maxKeyCount else { throw .keyTooLarge(count: count) }
}

func checkValue(_ count: Int) throws(BoltError) {
    guard count <= Layout.maxValueCount else { throw .valueTooLarge(count: count) }
}

extension Tree {
    /// Puts the items of a run. What lies behind the last key of the tree goes straight into pages.
    func put(_ run: RunView) throws(BoltError) {
        var index = 0
        while index < run.items.count {
            let leaf = try descend(to: run.key(index))
            let bound = upperBound()
            if bound == nil, leaf.count == 0 || run.key(index).compare(leaf.key(leaf.count - 1)) > 0 {
                return try append(run, from: index)
            }
            index = try put(run, from: index, into: leaf, below: bound)
            splitIfLarge(leaf)
        }
    }

    /// Puts items into one leaf for as long as they belong there, and returns the first that was not put.
    private func put(
        _ run: RunView, from first: Int, into leaf: Leaf, below bound: PageBytes?
    ) throws(BoltError) -> Int {
        var index = first
        repeat {
            try leaf.put(run.key(index), run.value(index), isBucket: false)
            index += 1
            if leaf.count > Tree.maxLeafItems { break }
        } while index < run.items.count && isBelow(run.key(index), bound)
            && (bound != nil || run.key(index).compare(leaf.key(leaf.count - 1)) <= 0)
        return index
    }

    private func isBelow(_ key: PageBytes, _ bound: PageBytes?) -> Bool {
        guard let bound else { return true }
        return key.compare(bound) < 0
    }

    /// Removes the keys of a run, and returns how many were there.
    func delete(_ run: RunView) throws(BoltError) -> Int {
        var removed = 0
        var index = 0
        while index < run.items.count {
            let leaf = try descend(to: run.key(index))
            let bound = upperBound()
            repeat {
                let (at, found) = leaf.lowerBound(run.key(index))
                if found {
                    guard !leaf.items[at].isBucket else { throw .incompatibleValue }
                    pages.looseBytes += leaf.items[at].size
                    leaf.remove(at: at)
                    removed += 1
                }
                index += 1
            } while index < run.items.count && isBelow(run.key(index), bound)
        }
        return removed
    }

    /// Appends items that are all above the tree's last key: full pages are laid out at once, without nodes, and the
    /// items that do not fill a page become the last leaf.
    private func append(_ run: RunView, from first: Int) throws(BoltError) {
        let leaf = try descendRight()
        let last = run.items.count
        var end = pageEnd(from: first, count: last, size: leaf.size, isEmpty: leaf.count == 0) { run.size($0) }
        for index in first..<end { leaf.append(run.key(index), run.value(index)) }
        guard end < last else { return }

        let branch: Branch
        if let parent = path.last?.branch {
            branch = parent
            branch.removeLast()
        } else {
            branch = Branch()
            root = .branch(branch)
        }
        try write(leaf, isLast: true, into: branch)
        while true {
            let start = end
            end = pageEnd(from: start, count: last, size: Layout.pageHeader, isEmpty: true) { run.size($0) }
            guard end < last else {
                let leaf = Leaf()
                for index in start..<end { leaf.append(run.key(index), run.value(index)) }
                branch.append(run.key(start), .leaf(leaf))
                return
            }
            branch.append(run.key(start), .page(try writeLeaf(run, start..<end)))
        }
    }

    /// Where a page ends that holds items from `start` on, `size` bytes being taken already: before the first item that
    /// does not fit. A page gets at least one item; two that are large share a page where that saves one.
    @inline(__always)
    func pageEnd(from start: Int, count: Int, size: Int, isEmpty: Bool, _ itemSize: (Int) -> Int) -> Int {
        let room = pages.pageRoom
        var size = size
        var end = start
        while end < count, size &+ itemSize(end) <= room {
            size &+= itemSize(end)
            end &+= 1
        }
        guard end == start, isEmpty, start < count else { return end }
        let one = Layout.pageHeader + itemSize(start)
        guard start + 1 < count else { return start + 1 }
        let other = Layout.pageHeader + itemSize(start + 1)
        let both = one + itemSize(start + 1)
        return pageNumber(both) < pageNumber(one) + pageNumber(other) ? start + 2 : start + 1
    }

    /// Pages for `size` bytes and the seal.
    func pageNumber(_ size: Int) -> Int { pages.pageNumber(size) }

    private func writeLeaf(_ run: RunView, _ range: Range<Int>) throws(BoltError) -> UInt64 {
        var size = Layout.pageHeader
        for index in range { size += run.size(index) }
        let (id, writer) = try pages.allocate(pageNumber(size))
        writer.header(id, flags: Layout.leafFlag, count: range.count, pageSize: pages.pageSize)
        var data = Layout.pageHeader + Layout.element * range.count
        var element = Layout.pageHeader
        for index in range {
            let key = run.key(index)
            let value = run.value(index)
            writer.leafElement(at: element, isBucket: false, data: data, key: key.count, value: value.count)
            writer.put(key, at: data)
            writer.put(value, at: data &+ key.count)
            data &+= key.count &+ value.count
            element &+= Layout.element
        }
        writer.finish(from: data)
        return id
    }
}

extension PageWriter {
    @inline(__always) func header(_ id: UInt64, flags: UInt16, count: Int, pageSize: Int) {
        put(id, at: 0)
        put(flags, at: 8)
        put(UInt16(count), at: 10)
        put(UInt32(max(1, self.count / pageSize) - 1), at: 12)
    }

    /// The leaf element at byte `offset` whose key begins at byte `data`.
    @inline(__always) func leafElement(at offset: Int, isBucket: Bool, data: Int, key: Int, value: Int) {
        put(isBucket ? Layout.bucketFlag : 0, at: offset)
        put(UInt32(data &- offset), at: offset &+ 4)
        put(UInt32(key), at: offset &+ 8)
        put(UInt32(value), at: offset &+ 12)
    }
}
