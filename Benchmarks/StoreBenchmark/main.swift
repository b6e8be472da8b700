// How fast the store alone is, on the disk below the working directory or the one that is named:
// `StoreBenchmark [puts | copy | reclaim | compaction | memory | restore] [directory] [options]`. Release builds only.
// Prints one line for each figure; docs/benchmarks.md, "Store", has the results and what they are compared with.

let arguments = Array(CommandLine.arguments.dropFirst())
let scratch = try Scratch(below: arguments.count > 1 ? arguments[1] : ".")
defer { scratch.remove() }

switch arguments.first {
case "puts": try measurePuts(scratch)
case "copy": try measureCopy(scratch)
case "reclaim": try measureReclaim(scratch, seconds: arguments.count > 2 ? Int(arguments[2]) ?? 60 : 60)
case "compaction": try measureCompaction(scratch)
case "memory": try measureMemory(path: arguments.count > 1 ? arguments[1] : nil, scratch)
case "fill": try fill(path: arguments[1])
default: print("usage: StoreBenchmark puts|copy|reclaim|compaction|memory|fill [directory]")
}
