# What people and CI run. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help dev test lint sqlx sqlx-check

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

dev: ## A working control plane on http://localhost:3000 (ARGS="--port 4000 --data DIR")
	@.ci/install-postgres.sh || echo "going on without: tenantry downloads one" >&2
	@cargo run -p tenantry -- dev $(ARGS)

test: ## All tests, on Postgres 15, 16 and 18 of their own (ARGS passes on to the runner)
	@.ci/test.sh $(ARGS)

lint: ## Formatting, clippy and docs, with warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --document-private-items

sqlx: ## Writes the query data of sqlx's macros (crates/*/.sqlx) anew
	@.ci/sqlx.sh prepare

sqlx-check: ## Fails where that data is not current
	@.ci/sqlx.sh check
