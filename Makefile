# `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

SWIFT ?= swift
# Where `make run` keeps its data, as etcd does without --data-dir.
DATA ?= default.etcd
# What is shipped is built without the runtime's checks of exclusive access; the tests run with them.
SHIPPED := -c release -Xswiftc -enforce-exclusivity=unchecked
# Where the soak's release build with the checks goes.
CHECKED := --scratch-path .build/checked
# Targets that the format check covers; the generated messages carry a mark that excludes them.
FORMATTED := Package.swift Sources Tests Examples $(wildcard Benchmarks/*/*.swift)

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## Install the system libraries that are missing, or say how
	@.ci/deps

.PHONY: peers
peers: ## Fetch the released etcd programs that end-to-end tests compare with
	@.ci/peers

.PHONY: build
build: deps ## Release binaries in .build/release
	$(SWIFT) build $(SHIPPED) --product martlet
	$(SWIFT) build $(SHIPPED) --product martletutl
	$(SWIFT) build $(SHIPPED) --product martlet-bench

.PHONY: run
run: build ## Start a member on 127.0.0.1:2379 with its data in ./default.etcd
	.build/release/martlet --data-dir $(DATA)

.PHONY: cluster
cluster: build ## Start three members on 127.0.0.1, data in ./cluster.etcd; MEMBERS=5 for more, TLS=1 for TLS
	@Examples/Cluster/run

# Tests with sockets, threads and processes measure time: they run one at a time, after the others, and not beside them.
LIVE := ^(Conformance|HTTP2Tests|PeerTransportTests|ClientAPITests|PlatformTests|TLSTests)\.

.PHONY: test
test: deps peers ## All tests, end-to-end tests against real etcd included
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --skip '$(LIVE)'
	$(SWIFT) test --skip-build --no-parallel --filter '$(LIVE)'

.PHONY: soak
soak: deps peers build ## The long form of the tests that have one
	$(SWIFT) build -c release $(CHECKED) --build-tests
	MARTLET_SOAK=1 $(SWIFT) test -c release $(CHECKED) --skip-build --skip '$(LIVE)'
	MARTLET_SOAK=1 MARTLET_BINARY=$(CURDIR)/.build/release/martlet \
	    $(SWIFT) test -c release $(CHECKED) --skip-build --no-parallel --filter '$(LIVE)'
	MARTLET_TARGETS=RaftCoreTests $(SWIFT) build -c release --build-tests --scratch-path .build/raft
	MARTLET_TARGETS=RaftCoreTests RAFT_SOAK_SECONDS=$${RAFT_SOAK_SECONDS:-600} \
	    $(SWIFT) test -c release --skip-build --scratch-path .build/raft --filter RaftCoreTests

.PHONY: bench
bench: build peers ## Compare throughput, latency and memory with etcd; see docs/benchmarks.md
	Benchmarks/kv/run

.PHONY: format
format: ## Rewrite the sources in the project's format
	$(SWIFT) format -i -r --configuration .swift-format $(FORMATTED)

.PHONY: lint
lint: ## Check the format, as CI does
	$(SWIFT) format lint --strict -r --configuration .swift-format $(FORMATTED)

.PHONY: transcripts
transcripts: ## Run raft's transcripts alone; ARGS=--rewrite shows differences, ARGS="--write FOLDER" takes them over
	@MARTLET_TARGETS=martlet-transcripts $(SWIFT) build --product martlet-transcripts
	@.build/debug/martlet-transcripts $(ARGS)

.PHONY: docs
docs: ## Build RaftCore's documentation into .build/docs; fails on a warning
	MARTLET_TARGETS=RaftCore $(SWIFT) package --scratch-path .build/docs dump-symbol-graph --minimum-access-level public
	mkdir -p .build/docs/symbols && cp .build/docs/*/symbolgraph/RaftCore*.json .build/docs/symbols
	docc convert Sources/RaftCore/RaftCore.docc --additional-symbol-graph-dir .build/docs/symbols --warnings-as-errors \
	    --fallback-display-name RaftCore --fallback-bundle-identifier martlet.RaftCore \
	    --output-path .build/docs/RaftCore.doccarchive

# The generator is built from the SwiftProtobuf that the package resolves to, so that the two agree.
GENERATOR := .build/checkouts/swift-protobuf
.PHONY: proto
proto: ## Generate the Swift messages from proto/ (needs protoc)
	@command -v protoc >/dev/null || { echo "protoc is missing: apt-get install protobuf-compiler"; exit 1; }
	$(SWIFT) package resolve
	$(SWIFT) build --package-path $(GENERATOR) --scratch-path .build/generator --product protoc-gen-swift
	protoc --plugin=protoc-gen-swift=.build/generator/debug/protoc-gen-swift --proto_path=proto \
	    --swift_out=Sources/EtcdProto/Generated \
	    --swift_opt=Visibility=Public,FileNaming=PathToUnderscores,UseAccessLevelOnImports=true \
	    $$(find proto -name '*.proto' | sort)
