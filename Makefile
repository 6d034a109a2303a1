# mcsqueal's tasks. Each does all of its own set-up; without a name, make lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO ?= go
# Seconds for each fuzz target.
FUZZ_SECONDS ?= 60
# How long the cache server is soaked.
SOAK_SECONDS ?= 300
# The packages and the tests to take: make race PKG=./batcher RUN=TestName
PKG ?= ./...
RUN ?= .

# golangci-lint, at the version tools/go.mod pins. Go keeps the built command in its
# build cache, so only the first run after a change of either takes time.
LINT := $(GO) tool -modfile=tools/go.mod golangci-lint

##@ Everyday

.PHONY: help
help: ## List the tasks
	@awk -F ':.*## ' '/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build bin/mcsqueal and bin/mccache; go stamps them with the version they are of
	$(GO) build -buildvcs=auto -o bin/ ./cmd/...

.PHONY: demo
demo: ## Show stale reads with and without mcsqueal, on live servers
	$(GO) run ./integration/demo

.PHONY: test
test: ## Run every check and every test, on real servers where they can be had
	@$(MAKE) --no-print-directory servers tools || { \
		[[ "$${MCSQUEAL_REQUIRE_SERVERS:-}" != 1 ]] && \
		echo "going on without some of them: the tests that need them are skipped, and say so"; }
	@$(MAKE) --no-print-directory vet lint race

##@ The parts of make test

.PHONY: servers
servers: ## Install the servers that tests use, in a cache folder outside the checkout
	$(GO) run ./integration/servers/install

.PHONY: tools
tools: pip ## Get the tools that tests look at deploy/ with: helm, Prometheus, buildah, …
	$(GO) run ./integration/tools/install

.PHONY: vet
vet: ## gofmt and go vet
	@files=$$(gofmt -l .) && [[ -z "$$files" ]] || { echo "not formatted (make fmt mends it):"; echo "$$files"; exit 1; }
	$(GO) vet ./...

.PHONY: lint
lint: ## golangci-lint
	$(LINT) run ./...

.PHONY: race
race: cc ## The tests, under the race detector
	$(GO) test -race -timeout 15m -run '$(RUN)' $(PKG)
	$(GO) test -run 'Allocates' ./...

##@ Now and then

.PHONY: fmt
fmt: ## Format all Go files as make lint wants them
	$(LINT) fmt ./...

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZ_SECONDS (60) and say how far each got
	@targets=$$($(GO) test -list '^Fuzz' $(PKG) | awk '/^Fuzz/ { found[n++] = $$1 } \
		/^ok/ { for (i = 0; i < n; i++) print $$2, found[i] } \
		!/^Fuzz/ { n = 0 }'); \
	log=$$(mktemp); trap 'rm -f "$$log"' EXIT; failed=0; \
	while read -r package target; do \
		[[ -n "$$target" ]] || continue; \
		if $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_SECONDS)s -fuzzminimizetime 1s "$$package" >"$$log" 2>&1; then \
			printf '%-55s %s\n' "$${package#*/*/*/}.$$target" "$$(sed -n 's/^fuzz: elapsed: //p' "$$log" | tail -n 1 | sed 's, ([0-9]*/sec),,')"; \
		else \
			printf '%-55s FAILED\n' "$${package#*/*/*/}.$$target"; cat "$$log"; failed=1; \
		fi; \
	done <<<"$$targets"; \
	exit $$failed

.PHONY: fuzz-servers
fuzz-servers: servers ## For FUZZ_SECONDS (60) each, ask the servers what is a literal and what a comment
	$(GO) test -count=1 -v -timeout 0 -run 'NothingStored|ServersAgree' ./extract -seconds $(FUZZ_SECONDS)

.PHONY: bench
bench: ## Measure speed and memory against bare programs, and print the ratios
	$(GO) run ./bench

.PHONY: bench-cache
bench-cache: ## Measure mccache against memcached, and write the tables into docs/performance.md
	$(GO) run ./bench/cache -o docs/performance.md
	$(GO) run ./bench/cache -memory -o docs/performance.md

.PHONY: recipes
recipes: servers ## Run what docs/tags.md shows with its real libraries, as far as they can be had
	$(GO) run ./integration/recipes -run '$(RUN)'

.PHONY: torture
torture: ## Kill, freeze and cut everything for TORTURE_SECONDS (300), and look for lost keys
	$(GO) run ./integration/torture

.PHONY: cache-soak
cache-soak: cc ## Soak mccache, under the race detector, for SOAK_SECONDS (300), and let a herd graze
	$(GO) test -count=1 -v -timeout 0 -run 'Soak|Herd|OneKey' ./integration/mccache -soak $(SOAK_SECONDS) -herd 10 -histories 2000

.PHONY: cachediff
cachediff: servers ## Hold mccache to memcached for DIFF_SECONDS (300), from SEED on
	$(GO) run ./integration/cachediff

.PHONY: release
release: ## Build tarballs and Debian packages into dist; VERSION=v1.2.3 names them
	deploy/release $(VERSION)

.PHONY: linter
linter: ## Build golangci-lint ahead of its first use
	$(LINT) version

.PHONY: clean
clean: ## Remove what make builds; the servers' cache folder stays
	rm -rf bin dist

# The race detector needs a C compiler.
.PHONY: cc
cc:
	@command -v "$$($(GO) env CC)" >/dev/null || { \
		echo "the race detector needs a C compiler: apt-get install gcc libc6-dev"; \
		[[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null && echo "doing so" && \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null; }

# Kubernetes' schemas come by pip.
.PHONY: pip
pip:
	@python3 -m pip --version >/dev/null 2>&1 || { \
		echo "Kubernetes' schemas need pip: apt-get install python3-pip"; \
		[[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null && echo "doing so" && \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-pip >/dev/null; }
