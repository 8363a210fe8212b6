# SPDX-License-Identifier: MIT OR Apache-2.0

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
GOLANGCI := go tool -modfile=tools/go.mod golangci-lint
BENCHFLAGS ?=
KERNELSFLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help build generate test test-kernels bench demo lint fmt check clean deps-test deps-lint deps-generate

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/emerita, one static binary
	@CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/emerita ./cmd/emerita

generate: deps-generate ## write the generated code anew
	go generate ./...

test: deps-test ## run every test; needs root or sudo, leaves the host as it was
	@scripts/test.sh

test-kernels: ## run the tests that ask the kernel on several, emulated; write docs/kernels.md
	@scripts/kernels.sh $(KERNELSFLAGS)

bench: build ## measure against the upstream plugins, write docs/benchmarks (BENCHFLAGS=-quick to try)
	@scripts/bench.sh $(BENCHFLAGS)

demo: build ## connect two network namespaces, talk between them, clean up
	@EMERITA_BUILT=1 scripts/demo.sh

lint: deps-lint deps-generate ## run every linter
	@scripts/lint.sh

fmt: ## format Go and C
	@$(GOLANGCI) fmt ./...
	@cd test/bench && go tool -modfile=../../tools/go.mod golangci-lint fmt -c ../../.golangci.yml ./...
	@find bpf -name '*.[ch]' -exec clang-format -i {} +

check: lint test ## lint and test: what CI runs

clean: ## remove what the targets built
	rm -rf bin .cache

deps-test: ## install what the tests run
	@scripts/deps.sh nft iptables ip tc ss ping strace

deps-lint: ## install what the linters run
	@scripts/deps.sh shellcheck clang-format

deps-generate: ## install what compiles the eBPF programs
	@scripts/deps.sh clang llvm-strip /usr/include/linux/bpf.h
