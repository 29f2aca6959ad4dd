# SPDX-License-Identifier: GPL-2.0
#
# The front door for people. The kernel's build system reads Kbuild instead.

KDIR ?= /lib/modules/$(shell uname -r)/build

.PHONY: all tools module demo test test-debug soak bench fuzz check rust-project clean help

all: tools module ## Build the tools, and the module for the running kernel

tools: ## Build rtshm-reader (target/release)
	@pkg-config --exists alsa || { \
		echo "alsa-lib's headers are missing: apt install libasound2-dev pkg-config" >&2; exit 1; }
	cargo build --release -p rtshm-reader

module: ## Build the module for the running kernel, or for the one in KDIR=
	@if scripts/kernel-has-rust "$(KDIR)"; then \
		$(MAKE) -C "$(KDIR)" M="$(CURDIR)" modules; \
	fi

demo: ## Play speech, or WAV=file, through the card in a VM and compare
	@scripts/demo $(if $(WAV),"$(WAV)")

test: ## Run all tests, on this machine and in a VM
	@scripts/test

test-debug: ## Run the VM's tests on a kernel with KASAN, lockdep, ..., or PART=1, 2
	@scripts/test --kernel debug $(if $(PART),--part $(PART))

soak: ## Follow a drifting card for HOURS (24) of a VM's time, each way
	@HOURS="$(or $(HOURS),24)" scripts/test soak

bench: ## Measure the ring beside others: tables, JSON and plots
	@scripts/bench

fuzz: ## Feed the client library hostile bytes for a minute, by cargo-fuzz
	@scripts/fuzz

check: ## rustfmt, clippy and shellcheck, warnings are errors
	@scripts/check

rust-project: ## Write rust-project.json, so that rust-analyzer knows the module
	@scripts/rust-project

clean: ## Remove what was built here; the lab's cache stays
	rm -rf build target rust-project.json

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
