# Pitwall. `make` or `make help` lists the targets.

STATE  ?= /var/lib/pitwall
RUN    ?= /run/pitwall
LISTEN ?= 127.0.0.1:7480
IMAGE  ?=
NAME   ?= dev
PREFIX ?= /usr/local
DESTDIR ?=
export STATE RUN LISTEN IMAGE NAME PREFIX DESTDIR

.DEFAULT_GOAL := help
.PHONY: help up down clean test check lint bundle image bench bench-vm bench-control install uninstall

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo '  Settings: STATE=$(STATE) RUN=$(RUN) LISTEN=$(LISTEN) NAME=$(NAME) IMAGE=registry/name:tag or oci:DIR'

up: ## install what is missing, build, start pitwall, make one VM; the last line is the ssh command
	@scripts/up

down: ## end all of it: control plane, VMs, network; what is asked is kept
	@scripts/down

clean: ## make down, and forget the state
	@scripts/clean

install: ## build and install the programs, manual and completion below DESTDIR and PREFIX
	@scripts/install

uninstall: ## remove them again
	@scripts/uninstall

check: ## format, lints, unit and simulated tests; no root needed
	@scripts/check

test: ## everything that checks the project; needs root, runs in network namespaces of its own
	@scripts/test

bench: ## print the promised figures and write target/bench/*.json
	@scripts/bench

bench-vm: ## the figures of a VM's start, of 20 at once and of its SSH server
	@scripts/bench vm

bench-control: ## the figures of the control plane, on simulated hosts
	@scripts/bench control

bundle: ## make the guests' kernel and initramfs in target/bundle
	@scripts/packages build
	@cargo xtask bundle

image: ## make the small Debian image in target/images/debian
	@scripts/packages run
	@scripts/debian-image
