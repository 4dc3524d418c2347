# What people and CI run. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export FAULTS MINUTES SEED
.PHONY: help dev test test-faults soak lint docs deploy-check openapi openapi-check sqlx sqlx-check

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

dev: ## A working control plane on http://localhost:3000 (ARGS="--port 4000 --data DIR")
	@.ci/install-postgres.sh || echo "going on without: tenantry downloads one" >&2
	@cargo run -p tenantry -- dev $(ARGS)

test: ## All tests, on Postgres 15, 16 and 18 of their own and in Chromium (ARGS passes on to the runner)
	@.ci/test.sh $(ARGS)

test-faults: ## Every fault in every step of every operation (FAULTS="create/claim" or FAULTS=3: a part of them)
	@.ci/faults.sh test

soak: ## Operations, traffic, faults, kills and restarts at random (MINUTES=10 SEED=1)
	@.ci/faults.sh soak

lint: ## Formatting, clippy and docs, with warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --document-private-items

docs: ## Writes docs/configuration.md and deploy/tenantry.example.toml from the code
	@cargo build --quiet --package tenantry
	@cargo run --quiet --package tenantry -- config reference > docs/configuration.md
	@cargo run --quiet --package tenantry -- config example > deploy/tenantry.example.toml

deploy-check: ## Checks what is in deploy/: the unit, the compose file, the Dockerfile
	@.ci/deploy.sh

openapi: ## Writes docs/openapi.json anew
	@cargo run --quiet --package tenantry -- openapi >docs/openapi.json.new
	@mv docs/openapi.json.new docs/openapi.json

openapi-check: ## Fails where that file is not what the code says, or no valid OpenAPI
	@.ci/openapi.sh

sqlx: ## Writes the query data of sqlx's macros (crates/*/.sqlx) anew
	@.ci/sqlx.sh prepare

sqlx-check: ## Fails where that data is not current
	@.ci/sqlx.sh check
