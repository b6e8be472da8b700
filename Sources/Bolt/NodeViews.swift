/// A branch as a write transaction meets it: still a page, which turns into a node when something below it changes, or
/// a node already.
struct BranchView {
    private let page: Page?
    private(set) var node: Branch?

    init(_ page: Page) {
        self.page = page
        node = nil
    }

    init(_ node: Branch) {
        page = nil
        self.node = node
    }

    var count: Int { node?.count ?? page?.count ?? 0 }

    func key(_ index: Int) throws(BoltError) -> PageBytes {
        if let node { return node.key(index) }
        guard let page else { return .empty }
        return page.key(try page.branchElement(index))
    }

    func child(_ index: Int) throws(BoltError) -> Child {
        if let node { return node.items[index].child }
        guard let page else { preconditionFailure("a branch of no page") }
        return .page(try page.branchElement(index).child)
    }

    func index(for key: PageBytes) throws(BoltError) -> Int {
        if let node { return node.index(for: key) }
        return try page?.childIndex(for: key) ?? 0
    }

    /// The node, made from the page when there is none yet.
    mutating func makeNode(in tree: Tree) throws(BoltError) -> Branch {
        if let node { return node }
        guard let page, case .branch(let made) = try tree.node(.page(page.id)) else {
            preconditionFailure("a branch page that is none")
        }
        node = made
        return made
    }
}

/// A leaf as a write transaction meets it: a page or a node.
struct LeafView {
    struct Item {
        let key: PageBytes
        let value: PageBytes
        let isBucket: Bool
    }

    private let page: Page?
    private let node: Leaf?

    init(_ page: Page) {
        self.page = page
        node = nil
    }

    init(_ node: Leaf) {
        page = nil
        self.node = node
    }

    var count: Int { node?.count ?? page?.count ?? 0 }

    /// The first item whose key is not below `key`; `count` when all are below.
    func lowerBound(_ key: PageBytes) throws(BoltError) -> Int {
        if let node { return node.lowerBound(key).index }
        return try page?.lowerBound(key).index ?? 0
    }

    func item(_ index: Int) throws(BoltError) -> Item {
        if let node {
            return Item(key: node.key(index), value: node.value(index), isBucket: node.items[index].isBucket)
        }
        guard let page else { preconditionFailure("a leaf of no page") }
        let element = try page.leafElement(index)
        return Item(key: page.key(element), value: page.value(element), isBucket: element.isBucket)
    }
}
