# Postern's front door. `make help` lists the targets.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PREFIX  ?= /usr/local
DESTDIR ?=
UNITDIR ?= /lib/systemd/system
RUN     ?= run
SWIFT   ?= swift
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

DEPS      := libssl-dev libsasl2-dev libpam0g-dev libicu-dev libsasl2-modules libsasl2-modules-db pkg-config
DEPS_DEMO := swaks libnet-ssleay-perl libauthen-sasl-perl libdigest-hmac-perl curl python3
DEPS_TEST := $(DEPS_DEMO) sasl2-bin postfix dovecot-core dovecot-imapd dovecot-lmtpd fetchmail msmtp s-nail openssl procps mariadb-server-core libpam-mysql fail2ban pflogsumm logwatch

##@ Use
.PHONY: run
run: deps build ## build, make a certificate and an account, serve Conf/demo with an embedded downstream; Ctrl-C ends it
	@Tests/install-missing.sh $(DEPS_DEMO)
	@POSTERN="$$($(SWIFT) build -c release --show-bin-path)/postern" RUN="$(RUN)" Conf/demo/start.sh

# Builds nothing: root's PATH need not have swift, and what root builds the user cannot build again.
.PHONY: install
install: ## install what `make build` made: binary, units, documents, example configuration; under DESTDIR and PREFIX
	@[ -x .build/release/postern ] || { echo "there is no .build/release/postern: run 'make build' first, as the user who works here" >&2; exit 1; }
	install -D -m 755 .build/release/postern "$(DESTDIR)$(PREFIX)/sbin/postern"
	install -d "$(DESTDIR)$(PREFIX)/share/doc/postern/demo"
	install -m 644 LICENSE CHANGELOG.md Docs/*.md "$(DESTDIR)$(PREFIX)/share/doc/postern/"
	sed 's#(Docs/#(#g' README.md >"$(DESTDIR)$(PREFIX)/share/doc/postern/README.md"; chmod 644 "$(DESTDIR)$(PREFIX)/share/doc/postern/README.md"
	install -m 644 Conf/demo/*.cf "$(DESTDIR)$(PREFIX)/share/doc/postern/demo/"
	install -d "$(DESTDIR)$(UNITDIR)"
	for unit in postern.service postern-unprivileged.service postern-unprivileged.socket; do \
	  sed 's#@PREFIX@#$(PREFIX)#g' Conf/$$unit >"$(DESTDIR)$(UNITDIR)/$$unit"; chmod 644 "$(DESTDIR)$(UNITDIR)/$$unit"; done

.PHONY: uninstall
uninstall: ## remove what `make install` with the same DESTDIR, PREFIX and UNITDIR installed; configuration, accounts and queue stay
	rm -f "$(DESTDIR)$(PREFIX)/sbin/postern"
	rm -rf "$(DESTDIR)$(PREFIX)/share/doc/postern"
	cd "$(DESTDIR)$(UNITDIR)" 2>/dev/null && rm -f postern.service postern-unprivileged.service postern-unprivileged.socket || true

##@ Build
.PHONY: deps
deps: ## install the development packages, if they are missing
	@Tests/install-missing.sh $(DEPS)

.PHONY: deps-test
deps-test: deps ## install the programs that the tests play against, if they are missing
	@Tests/install-missing.sh $(DEPS_TEST)

.PHONY: build
build: ## build the release binary
	$(SWIFT) build -c release --product postern

.PHONY: certs
certs: build ## make a self-signed EC P-256 certificate for localhost in Certs/
	"$$($(SWIFT) build -c release --show-bin-path)/postern" cert selfsigned --name localhost --name 127.0.0.1 --out-cert Certs/cert.pem --out-key Certs/key.pem

##@ Check
.PHONY: test
test: deps-test ## build everything, run the unit tests, then the acceptance tests against real counterparts
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --no-parallel
	POSTERN="$$($(SWIFT) build --show-bin-path)/postern" python3 Tests/Acceptance/run.py

.PHONY: conformance
conformance: deps-test ## play all dialogues, and random sessions for half a minute, against Postfix and Postern and compare replies, mail and logs (needs root)
	$(SWIFT) build --product postern
	POSTERN="$$($(SWIFT) build --show-bin-path)/postern" Tests/Conformance/conformance.py
	POSTERN="$$($(SWIFT) build --show-bin-path)/postern" Tests/Conformance/differential.py --seconds 30

.PHONY: differential
differential: deps-test ## random sessions against Postfix and Postern, SESSIONS (2000) of each configuration, from SEED (needs root)
	$(SWIFT) build --product postern
	POSTERN="$$($(SWIFT) build --show-bin-path)/postern" Tests/Conformance/differential.py --sessions "$${SESSIONS:-2000}" --seed "$${SEED:-1}"

.PHONY: soak
soak: deps-test ## the spool's proofs in their long form, about an hour: SCHEDULES=100000 KILLS=200 POWERCUTS=60 (Docs/spool.md, Tests)
	$(SWIFT) build -c release --product spool-soak
	$(SWIFT) build -c release --product postern
	POSTERN_SPOOL_SCHEDULES=$${SCHEDULES:-100000} "$$($(SWIFT) build -c release --show-bin-path)/spool-soak"
	POSTERN="$$($(SWIFT) build -c release --show-bin-path)/postern" POSTERN_KILLS=$${KILLS:-200} POSTERN_POWERCUTS=$${POWERCUTS:-60} POSTERN_SOAK_SECONDS=60 POSTERN_SOAK_RATE=2000 Tests/soak.sh
	POSTERN="$$($(SWIFT) build -c release --show-bin-path)/postern" POSTERN_SLOW_CLIENTS=$${SLOW_CLIENTS:-10000} POSTERN_SLOW_SECONDS=60 PYTHONPATH=Tests/Acceptance python3 -m unittest -v test_hostile.Crowds
	POSTERN="$$($(SWIFT) build -c release --show-bin-path)/postern" POSTERN_SMUGGLING=all PYTHONPATH=Tests/Acceptance python3 -m unittest -v test_smuggling

.PHONY: lint
lint: ## format, import DAG, lists of unsafe files, file sizes, forbidden words
	Tests/lint.sh

.PHONY: format
format: ## rewrite all Swift files in the house style
	$(SWIFT) format -i -r -p Sources Tests Package.swift

.PHONY: fuzz
fuzz: ## run the fuzz targets under libFuzzer, SECONDS_EACH each (600), all or TARGETS="name ..."; findings go to Tests/Fuzz/Found
	Tests/Fuzz/run.sh "$${SECONDS_EACH:-600}" $(TARGETS)

.PHONY: bench
bench: build ## measure against the peers that are installed (BENCH=directory of the benchmark suite)
	Benchmarks/run.sh "$$($(SWIFT) build -c release --show-bin-path)/postern"

##@ Housekeeping
.PHONY: clean
clean: ## remove what was built and the demo's run directory
	rm -rf .build "$(RUN)"

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
