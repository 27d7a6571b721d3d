# The commands of this project. `make help` lists them.

GO      ?= go
TOOLS   := $(CURDIR)/.tools
# Tools are pinned here and built into .tools, apart from the module's own
# dependencies.
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)

# The race detector instruments everything but SQLite's own code, which is C translated
# to Go: instrumented, it takes three times the CPU. Only that package may be excluded: it
# instantiates no generic function of the standard library, whose copies in a program
# are shared, so an uninstrumented copy would hide how goroutines synchronize.
RACE := -race -gcflags=modernc.org/sqlite/lib=-race=false

.PHONY: help
help: ## List the commands.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

.PHONY: run
run: ## Start the server on this machine: embedded database, direct execution.
	$(GO) run ./cmd/server

.PHONY: check
check: vet lint build ## While you work, a minute or two: vet, lint, build, and the tests that need only Go.
	$(GO) test $$(GO="$(GO)" ./tools/unit-packages.sh)

# Tests of real processes mostly wait, so more of them run at once than there are cores.
.PHONY: test
test: deps vet lint build ## Everything that CI checks: vet, lint, build, all tests with the race detector.
	$(GO) test $(RACE) -parallel 6 -timeout 30m ./...

.PHONY: deps
deps: ## Install what the tests need and this machine lacks (Debian; otherwise say what to install).
	@./tools/deps.sh

.PHONY: vet
vet: ## Vet all packages and check the formatting.
	$(GO) vet ./...
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters of .golangci.yml.
	$(GOLANGCI_LINT) run

$(GOLANGCI_LINT):
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(TOOLS)/golangci-lint $@

.PHONY: build
build: ## Build the server into bin/, stripped.
	$(GO) build -trimpath -ldflags="-s -w" -o bin/server ./cmd/server

.PHONY: gcloud-test
gcloud-test: ## Check every command with the real gcloud, and run the deployment scripts with it against an imitation of Google's APIs (a few minutes).
	@command -v gcloud >/dev/null || { echo "gcloud is not installed: https://cloud.google.com/sdk/docs/install" >&2; exit 1; }
	$(GO) test ./deploy -run 'TestEveryGcloudCommandIsAccepted|TestRealGcloud' -v -count=1 -timeout 20m -gcloud.runs

.PHONY: gcloud-record
gcloud-record: ## Record what the installed gcloud accepts, for the tests where there is none.
	$(GO) test ./deploy -run TestEveryGcloudCommandIsAccepted -count=1 -timeout 20m -gcloud.record

.PHONY: pin-images
pin-images: ## Pin the base images of the Dockerfile by digest.
	@./tools/pin-images.sh

.PHONY: bench
bench: ## Speed compared with River, Asynq, DBOS and two yardsticks, on private servers: a table, bench/results.json (a quarter of an hour).
	cd bench && $(GO) run .

.PHONY: bench-quick
bench-quick: ## The same with fewer and shorter runs, without the ten million rows: bench/results-part.json.
	cd bench && $(GO) run . -quick

.PHONY: bench-publish
bench-publish: ## Write docs/benchmarks.md and its charts from bench/results.json.
	cd bench && $(GO) run . -publish

.PHONY: bench-deps
bench-deps: ## The cost of each dependency in the server's start and size: a table, bench/dependencies.json.
	cd bench && $(GO) run . -deps

.PHONY: bench-micro
bench-micro: ## Micro-benchmarks of the hot pieces, with allocations.
	$(GO) test -run '^$$' -bench . -benchmem ./...
	cd bench && $(GO) test -run '^$$' -bench . -benchmem ./internal/micro

.PHONY: bench-compare
bench-compare: ## Micro-benchmarks of BASE=revision and of the tree in turn, compared by benchstat.
	@./bench/compare.sh $(BASE)

.PHONY: soak-schedules
soak-schedules: ## Two servers and two workers that are killed enqueue a schedule of every second for SCHEDULE_SOAK (10m): each second once.
	SCHEDULE_SOAK=$${SCHEDULE_SOAK:-10m} $(GO) test ./server -run '^TestASchedulesOccurrencesSurviveKills$$' -count=1 -timeout=30m -v

.PHONY: soak-speed
soak-speed: ## A producer and a worker at full speed on PostgreSQL for SOAK (30m): rate and memory each minute; fails if memory grows or a task is lost.
	cd bench && $(GO) run . -soak $(SOAK)

.PHONY: bench-test
bench-test: $(GOLANGCI_LINT) ## Vet, lint and test the benchmark's own module.
	cd bench && $(GO) vet ./... && $(GOLANGCI_LINT) run ./... && $(GO) test ./...

.PHONY: bench-simulate
bench-simulate: ## Simulate systems of several sizes and their limits: the tables of docs/scaling.md.
	cd bench && $(GO) run ./simulate

.PHONY: fuzz
fuzz: ## Fuzz each target for half a minute.
	@./tools/fuzz.sh 30s

.PHONY: model
model: ## Check the protocol's model, and that it fails when any guard is removed (about a minute; installs spin).
	@./tools/model.sh

.PHONY: chaos
chaos: deps ## A minute of every fault at once on PostgreSQL, less on the others, with an audit that must balance.
	$(GO) test ./internal/chaos -run 'TestChaos|TestValidate' -v -count=1 -timeout 20m -chaos.duration=60s -chaos.rate=200

.PHONY: chaos-mutations
chaos-mutations: deps ## Remove the product's guards, one at a time: the chaos run must detect each.
	$(GO) test ./internal/chaos -run TestMutations -v -count=1 -timeout 1h -chaos.mutations

SOAK ?= 30m
.PHONY: soak
soak: deps ## The chaos run for SOAK (30m) on all databases with fsync, memory and descriptors watched; then the mutations.
	$(GO) test ./internal/chaos -run 'TestChaos|TestABomb|TestNoTaskIsLost|TestMutations' -v -count=1 -timeout 0 -chaos.soak=$(SOAK) -chaos.mutations

.PHONY: cover
cover: deps ## Test coverage by function, and cover.out.
	$(GO) test $(RACE) -timeout 30m -coverprofile=cover.out -coverpkg=./... ./...
	$(GO) tool cover -func=cover.out | tail -n 1

.PHONY: admin-million
admin-million: deps ## The admin's pages on a million rows in PostgreSQL: statements, bytes and time of each.
	$(GO) test ./server/admin -run TestPagesAreFewStatementsOnManyRows -v -count=1 -admin.rows=1000000

.PHONY: fresh
fresh: ## The README's two commands on a bare Debian with only Go, git and make (root; a quarter of an hour and more).
	@./tools/fresh.sh

.PHONY: demo-push
demo-push: ## The whole path on this machine: server, fake Cloud Tasks, one task delivered by HTTP with a verified token.
	@./tools/demo-push.sh
