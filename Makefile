# SPDX-License-Identifier: GPL-2.0
#
# The front door for people. The kernel's build system reads Kbuild instead.

KDIR ?= /lib/modules/$(shell uname -r)/build
prep = scripts/kernel-rust-prep $(shell sed -n '/^--/p' module/needs) --kdir "$(KDIR)"
# Of the VM, for demo, test and check.
kernel = $(if $(KERNEL),--kernel "$(KERNEL)")

.PHONY: all tools module install install-dkms uninstall deb demo test test-debug test-packages soak bench
.PHONY: bench-latency fuzz docs check rust-project clean clean-module help

all: tools ## Build the tools, and the module where the running kernel can have it
	@if $(prep) --check --quiet >/dev/null; then \
		$(MAKE) --no-print-directory module; \
	else \
		echo "module not built; 'make demo' and 'make test' use a kernel of their own in a VM" >&2; \
	fi

tools: ## Build rtshm-reader (target/release)
	@pkg-config --exists alsa || { \
		echo "alsa-lib's headers are missing: apt install libasound2-dev pkg-config" >&2; exit 1; }
	cargo build --release -p rtshm-reader

module: ## Build the module for the running kernel, or for the one in KDIR=; into MO=
	@case "$(CURDIR)" in *[[:space:]:%]*) \
		echo "the kernel's build takes no space, : or % in a path: $(CURDIR)" >&2; exit 1 ;; esac; \
	arguments=$$($(prep) --check --quiet --make) || exit; \
	mkdir -p "$(or $(MO),.)" || exit; \
	[ -w "$(or $(MO),.)" ] || { \
		echo "$(or $(MO),$(CURDIR)) is not writable: make module MO=DIRECTORY" >&2; exit 1; }; \
	$(MAKE) $$arguments M="$(CURDIR)" $(if $(MO),MO="$(abspath $(MO))") modules && \
		$(prep) --quiet --verify "$(abspath $(or $(MO),.))/module/rtshm.ko"

install: ## Install the tools, and the module's source for DKMS; DESTDIR= and PREFIX=
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" scripts/packaging/install

install-dkms: ## Install the module's source and kernel-rust-prep alone
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" scripts/packaging/install prep dkms

uninstall: ## Remove what was installed; first: dkms remove rtshm/VERSION --all
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" scripts/packaging/install --remove

demo: ## Play speech, or WAV=file, through the card in a VM and compare
	@scripts/demo $(kernel) $(if $(WAV),"$(WAV)")

test: ## Run all tests, on this machine and in a VM; KERNEL=forky: the VM's, on that one
	@scripts/test $(kernel)

test-debug: ## Run the VM's tests on a kernel with KASAN, lockdep, ..., or PART=1, 2, 3
	@scripts/test --kernel debug $(if $(PART),--part $(PART))

deb: tools ## Build the Debian packages (build/deb)
	@scripts/packaging/deb

test-packages: ## Test kernel-rust-prep, DKMS and the Debian packages, on machines of their own
	@scripts/test-packages

soak: ## Follow a drifting card for HOURS (24) of a VM's time, each way
	@HOURS="$(or $(HOURS),24)" scripts/test soak

bench: ## Measure the ring beside others: tables, JSON and plots
	@scripts/bench

bench-latency: ## Measure latency and cost beside snd-aloop, in a VM: tables, JSON and plots
	@scripts/bench-latency

fuzz: ## Feed the client library hostile bytes for a minute, by cargo-fuzz
	@scripts/fuzz

docs: ## Make HTML of Documentation and README.md (build/docs), warnings are errors
	@scripts/docs

check: ## rustfmt, clippy and shellcheck, warnings are errors; KERNEL=forky: of the module
	@scripts/check $(kernel)

rust-project: ## Write rust-project.json, so that rust-analyzer knows the module
	@scripts/rust-project

clean: clean-module ## Remove what was built here; the lab's cache stays
	rm -rf build target rust-project.json

clean-module: ## Remove what was built of the module here, beside its source
	rm -f modules.order Module.symvers module/modules.order module/snd_bindings.rs
	find . \( -path ./build -o -path ./target -o -path ./.git \) -prune -o -type f \
		\( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' -o -name '.*.cmd' \) \
		-exec rm -f {} +

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
