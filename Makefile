# Walnut needs Go and make. `make proto` also needs protoc, and `make data` needs apt or npm. Tools written in Go run at
# the exact versions below; they are fetched on first use.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT := mvdan.cc/gofumpt@v0.12.0

# How long `make fuzz` runs each target.
FUZZTIME ?= 30s
# How far `make crash` goes: how many distinct states each crash test checks. `make test` runs a slice of it.
CRASH_STATES ?= 1000000
KILL_ROUNDS ?= 1000
# How far `make random` and `make soak` go. `make test` runs a million operations, a thousand histories of each kind, and
# a soak of a few seconds.
OPERATIONS ?= 300000000
HISTORIES ?= 100000
SOAK_TIME ?= 10m
# How long `make cluster-soak` takes.
CLUSTER_SOAK_TIME ?= 1h
# How many histories of processes `make cluster-histories` makes, and a tenth as many in one process; and how long
# `make cluster-verify` takes; and how many lives of a node's notes `make cluster-notes` tries.
CLUSTER_HISTORIES ?= 1000
CLUSTER_NOTES ?= 5000
VERIFY_TIME ?= 10m
# How often `make cluster-clients` kills the leader.
CLUSTER_ROUNDS ?= 50
# How often `make cluster-upgrade` upgrades a cluster, and from which git revision: if empty, from the last one that reads
# only snapshots of format 1.
CLUSTER_UPGRADES ?= 10
OLD ?=
# How far `make redis-differential` and `make redis-kill` go, and which server the judges of the Redis protocol look at:
# walnut, redis, leader or follower of three walnutd, or an address.
REDIS_COMMANDS ?= 200000
REDIS_ROUNDS ?= 100
JUDGED ?= walnut
# The packages that `make fuzz` and `make microbench` run, and those of `make race`, which leaves out checks of the sources.
PACKAGES ?= ./...
RACE_PACKAGES ?= $$(go list ./... | grep -v /internal/house)

PROTO := kv/kvpb/commit.proto
PROTO_GO := $(PROTO:.proto=.pb.go)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/kvctl
	go build -o bin/kvctl ./cmd/kvctl

.PHONY: build-migrate
build-migrate: ## Build bin/walnut-migrate, which copies from bbolt, buntdb and Badger
	cd tools/migrate && go build -o ../../bin/walnut-migrate .

.PHONY: build-walnutd
build-walnutd: ## Build bin/walnutd, a node of a replicated store
	cd cluster && go build -o ../bin/walnutd ./walnutd

.PHONY: manual
manual: ## Make docs/kvctl.md of kvctl's help texts
	go test -count=1 ./cmd/kvctl -run=TheManual -manual

.PHONY: man
man: ## Write kvctl's man pages to dist/man
	go test -count=1 ./cmd/kvctl -run=ManPages -man=$(CURDIR)/dist/man

.PHONY: completions
completions: build ## Write kvctl's completions for bash, zsh and fish to dist/completions
	@mkdir -p dist/completions
	bin/kvctl completion bash >dist/completions/kvctl.bash
	bin/kvctl completion zsh >dist/completions/_kvctl
	bin/kvctl completion fish >dist/completions/kvctl.fish

.PHONY: demo
demo: build ## Show what a crash and a flipped bit do to a store of real data, in under two minutes
	@go run ./internal/demo -kvctl bin/kvctl -data testdata/unicode/UnicodeData.tsv.gz

.PHONY: test
test: ## Run every test
	go test -timeout=20m ./...

.PHONY: test-migrate
test-migrate: ## Check and test walnut-migrate, which is a module of its own
	cd tools/migrate && go vet ./... && go run $(STATICCHECK) ./... && go test ./...

.PHONY: test-cluster
test-cluster: ## Check and test the replicated store, which is a module of its own, under the race detector
	cd cluster && go vet ./... && go run $(STATICCHECK) ./... && go test -race -short -timeout=20m ./...

.PHONY: test-redis
test-redis: ## Check and run the judges of kvctl serve and walnutd, a module of their own; redis-server should be in PATH
	cd tools/redis-judge && go vet ./... && go run $(STATICCHECK) ./... && go test -timeout=20m ./...
	cd tools/redis-judge && go test ./scenario -target=follower

.PHONY: redis-differential
redis-differential: ## Send REDIS_COMMANDS (200000) random commands to redis-server and to kvctl serve, and compare the replies
	cd tools/redis-judge && go test -count=1 -timeout=0 -run=Random -v ./differential -target=$(JUDGED) -commands=$(REDIS_COMMANDS)

.PHONY: redis-specs
redis-specs: ## Run go-redis' own specs on kvctl serve, and show how many pass
	cd tools/redis-judge && go test -count=1 -v ./specs -target=$(JUDGED)

.PHONY: redis-kill
redis-kill: ## Kill kvctl serve amid 50 pipelining clients REDIS_ROUNDS (100) times, and look for what it acknowledged
	cd tools/redis-judge && go test -count=1 -timeout=0 -v ./kill -target=$(JUDGED) -rounds=$(REDIS_ROUNDS)

.PHONY: redis-bench
redis-bench: ## Measure kvctl serve beside redis-server by redis-benchmark, in about a quarter of an hour; dist/server.md is the page
	@mkdir -p dist
	cd tools/redis-judge && go run ./bench -o $(CURDIR)/dist/server.md -picture $(CURDIR)/dist/server.svg

.PHONY: cluster-histories
cluster-histories: ## Make CLUSTER_HISTORIES (1000) of nodes that are killed, stopped and cut off, and judge each
	cd cluster && go test -count=1 -timeout=0 -run=Histories -v . -processes=$(CLUSTER_HISTORIES) \
		-histories=$$(($(CLUSTER_HISTORIES) / 10))

.PHONY: cluster-clients
cluster-clients: ## Kill the leader of three walnutd CLUSTER_ROUNDS (50) times while clients of Redis' protocol use them, and judge
	cd cluster && go test -count=1 -timeout=0 -run=TestClientsGoOn -v ./walnutd -rounds=$(CLUSTER_ROUNDS) -heartbeat=1300ms

.PHONY: cluster-upgrade
cluster-upgrade: ## Upgrade three walnutd of OLD, a git revision, node by node under load, CLUSTER_UPGRADES (10) times, and downgrade one
	cd cluster && go test -count=1 -timeout=0 -run=TestARollingUpgrade -v ./walnutd -upgrade.old=$(OLD) \
		-upgrade.rounds=$(CLUSTER_UPGRADES) -heartbeat=1300ms

.PHONY: cluster-soak
cluster-soak: ## Let nodes join, leave, move, die and have full disks for CLUSTER_SOAK_TIME (1h); watch what they take
	cd cluster && go test -count=1 -timeout=0 -run=TestSoak -v . -soak=$(CLUSTER_SOAK_TIME)

.PHONY: cluster-bench
cluster-bench: ## Measure the replicated store: docs/measured/replication.md says what
	cd cluster && go test -run=xxx -bench=Beside -benchtime=30000x .
	cd cluster && go test -run=xxx -bench='BenchmarkStart|Leaderless' -benchtime=3x .
	cd cluster && go test -run=xxx -bench='Processes|Replacement' -benchtime=1x -count=3 .

.PHONY: cluster-bench-etcd
cluster-bench-etcd: build-walnutd ## Measure three etcd and, in turns, three walnutd with clients of Redis' protocol: etcd must be in PATH
	cd bench/etcd && go run . -rounds 3 -walnutd $(CURDIR)/bin/walnutd -picture $(CURDIR)/docs/measured/replication.svg

.PHONY: cluster-verify
cluster-verify: ## Compare what the nodes' logs hold with what the leader appended, under load, for VERIFY_TIME (10m)
	cd cluster && go test -count=1 -timeout=0 -run=TestAllNodesHaveWhat -v . -verify=$(VERIFY_TIME)

.PHONY: cluster-notes
cluster-notes: ## Let what a node notes of its members live at random, CLUSTER_NOTES (5000) times, beside a model
	cd cluster && go test -count=1 -timeout=0 -run=TestNotesAre . -notes=$(CLUSTER_NOTES)

.PHONY: kernel
kernel: ## Run the tests of full, read-only and cut-off disks, limits and permissions at length; as root, all of them
	go test -count=1 -timeout=30m -v ./internal/kernel -kernel.long

.PHONY: race
race: ## Run the tests under the race detector; the longest ones are shortened
	go test -race -short -timeout=20m $(RACE_PACKAGES)

.PHONY: crash
crash: ## Check CRASH_STATES (1000000) crash states of wal, as many of kv, and kv after KILL_ROUNDS (1000) kills
	go test -count=1 -timeout=0 -v -run=Crash ./wal -crash.states=$(CRASH_STATES)
	go test -count=1 -timeout=0 -v -run='Crash|Kill' ./kv -crash.states=$(CRASH_STATES) -kill.rounds=$(KILL_ROUNDS)

.PHONY: faults
faults: ## Let each call of a workload on a store fail in each way, about 36,000 points
	go test -count=1 -timeout=60m -run=TestAFaultAtAnyCall -v ./kv -faults.all

.PHONY: flips
flips: ## Flip the bits of small stores, closed and killed, one at a time, in about ten minutes on one core
	go test -count=1 -timeout=60m -run=EveryFlippedBit -v ./kv -flips.all

.PHONY: proof
proof: ## Run everything at length that shows what is promised about crashes and damage, in about four hours on two cores
	$(MAKE) faults
	$(MAKE) flips
	$(MAKE) kernel
	$(MAKE) mutants
	$(MAKE) crash
	scripts/fuzz.sh 10m ./snapshot ./wal ./kv

.PHONY: random
random: ## Run random operations and concurrent histories for hours: OPERATIONS (300000000), HISTORIES (100000)
	go test -count=1 -timeout=0 -run='RandomOperations|Serializable' ./kv \
		-random.operations=$(OPERATIONS) -serial.histories=$(HISTORIES)

.PHONY: soak
soak: ## Write, take checkpoints and kill for SOAK_TIME (10m); watch disk, goroutines and descriptors
	go test -count=1 -timeout=0 -run=TestSoak -v ./kv -soak.duration=$(SOAK_TIME)

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (30s)
	@scripts/fuzz.sh $(FUZZTIME) $(PACKAGES)

.PHONY: bench
bench: ## Compare with buntdb, bbolt and Pebble in under ten minutes
	@$(MAKE) --no-print-directory -C bench bench

.PHONY: bench-full
bench-full: ## Compare with every peer in everything that there is a bar for, which takes over an hour
	@$(MAKE) --no-print-directory -C bench bench-full

.PHONY: bench-scale
bench-scale: ## Show how costs grow with pairs, value sizes and shapes of keys, in under twenty minutes
	@$(MAKE) --no-print-directory -C bench bench-scale

.PHONY: damage-matrix
damage-matrix: ## Damage the files of Walnut and its peers, and write what each then says and reads to docs/measured/damage.md
	@$(MAKE) --no-print-directory -C bench damage-matrix

.PHONY: compare
compare: ## Let this Walnut and that of OLD, a git revision or a directory, take turns in the benchmarks
	@$(MAKE) --no-print-directory -C bench compare

.PHONY: microbench
microbench: ## Run the microbenchmarks of the packages
	go test -run='^$$' -bench=. -benchmem $(PACKAGES)

.PHONY: mutants
mutants: ## Plant mistakes, one at a time, and show that the tests find each
	go test -count=1 -timeout=60m -run=Planted -v ./internal/mutants -mutants

.PHONY: cover
cover: ## Measure how much of the code the tests run; dist/cover.html shows which lines
	@mkdir -p dist
	go test -timeout=60m -coverpkg=./... -coverprofile=dist/cover.out ./...
	go tool cover -html=dist/cover.out -o dist/cover.html
	go tool cover -func=dist/cover.out | tail -1

.PHONY: check
check: check-format check-vet check-modules check-proto check-house ## Run every check that isn't a test of behaviour

.PHONY: check-format
check-format:
	@unformatted=$$(go run $(GOFUMPT) -l .); \
	if [ -n "$$unformatted" ]; then echo "run make format for:"; echo "$$unformatted"; exit 1; fi

.PHONY: check-vet
check-vet:
	go vet ./...
	go run $(STATICCHECK) ./...

# Nothing is run on these systems but Linux on amd64. That code and tests compile for them is all that is known.
.PHONY: check-systems
check-systems: ## Vet for the systems that no test runs on: Windows, macOS, FreeBSD, other processors, wasm
	@for system in windows/amd64 darwin/arm64 freebsd/amd64 linux/arm64 linux/386; do \
		echo "go vet for $$system"; GOOS=$${system%/*} GOARCH=$${system#*/} go vet ./... || exit 1; \
	done
	@echo "go vet for js/wasm"; GOOS=js GOARCH=wasm go vet ./kv ./wal ./snapshot ./internal/vfs

.PHONY: check-modules
check-modules:
	go mod tidy -diff
	go mod verify

# The generated file names the protoc that made it. That line may differ although nothing is stale, so it is left out.
.PHONY: check-proto
check-proto:
	@if command -v protoc >/dev/null; then \
		fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
		$(MAKE) --no-print-directory proto PROTO_OUT="$$fresh" && \
		grep -v '^// .*protoc  *v' $(PROTO_GO) >"$$fresh/committed" && \
		grep -v '^// .*protoc  *v' "$$fresh/$(PROTO_GO)" | diff "$$fresh/committed" - >&2 || \
		{ echo "$(PROTO_GO) is stale: run make proto" >&2; exit 1; }; \
	elif [ -n "$$CI" ]; then \
		echo "protoc is missing: $(PROTO_GO) can't be compared with its source" >&2; exit 1; \
	else \
		echo "protoc is not installed (Debian: protobuf-compiler): skipping whether $(PROTO_GO) is stale"; \
	fi

.PHONY: check-house
check-house:
	go test ./internal/house

.PHONY: format
format: ## Format the code
	go run $(GOFUMPT) -l -w .

PROTO_OUT ?= .

.PHONY: proto
proto: ## Generate Go code from kv/kvpb/commit.proto (needs protoc)
	protoc --plugin=protoc-gen-go="$$(go tool -n protoc-gen-go)" \
		--go_out="$(PROTO_OUT)" --go_opt=paths=source_relative $(PROTO)

.PHONY: pages
pages: ## Run the commands of docs/tour.md, operations.md and durability.md, and record what they print
	go run ./internal/pages

.PHONY: data
data: ## Fetch larger real data sets into dist/data (needs apt-get or npm)
	scripts/fetch-data.sh all

.PHONY: data-unicode
data-unicode: ## Make the data set in testdata/unicode again (needs apt-get)
	scripts/fetch-data.sh unicode

.PHONY: clean
clean: ## Remove what the targets above built and fetched
	rm -rf bin dist
