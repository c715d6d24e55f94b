# make            format, lint, test, check metrics, check rules
# make help       lists the targets

GO       ?= go
BINARY   := spillway_exporter
PACKAGE  := github.com/spillway-exporter/spillway_exporter
VERSION  ?= $(shell cat VERSION)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
DATE     ?= $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null)
LDFLAGS  := -s -w -X github.com/prometheus/common/version.Version=$(VERSION) -X github.com/prometheus/common/version.Revision=$(REVISION) -X github.com/prometheus/common/version.BuildDate=$(DATE)
GOLANGCI := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 20s
IMAGE    ?= spillway_exporter:dev

.DEFAULT_GOAL := all
.PHONY: all help build run demo format test lint vulnerabilities check-metrics check-rules check-units package check-package image check-image manifests check-kubernetes check-helm check-compose check-mixin check-dashboards e2e long-run vm-prepare vm-test vm-shell bench difftest simulate attack fuzz screenshots draw-dashboards install-tools install-all release check-release release-notes check-workflows clean

all: format lint test check-metrics check-rules ## format, lint, test, check metrics and rules

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build ./spillway_exporter
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BINARY) .

run: build ## serve on this host with embedded defaults; nothing is changed (dry run)
	./$(BINARY) --config.file=

demo: build ## a leaking service and the whole loop in a minute, in a temporary folder
	./$(BINARY) demo

format: ## format the sources
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

test: install-tools ## all tests that need no other server; names those that are skipped
	{ $(GO) test -json ./... || echo '{"Action":"fail","Package":"go test"}'; } | $(GO) run ./internal/gotest
	$(GO) test -tags portable ./internal/dirscan

lint: ## vet and golangci-lint, with the end-to-end tests and those of the virtual machine
	.ci/words
	$(GO) vet -tags e2e,vm,attack ./...
	GOOS=darwin $(GO) vet ./internal/dirscan
	GOOS=freebsd $(GO) vet ./internal/dirscan
	$(GOLANGCI) run --build-tags e2e,vm,attack ./...

check-metrics: build ## promtool check metrics on the running exporter
	@.ci/install promtool
	.ci/check-metrics ./$(BINARY)

check-rules: ## promtool check and test of the shipped rules, with Debian's promtool and the newest
	@.ci/install promtool
	for promtool in promtool $${XDG_CACHE_HOME:-$$HOME/.cache}/spillway_exporter/promtool-0.316.0; do \
	  $$promtool check rules rules/spillway.rules.yml && $$promtool test rules rules/spillway.rules_test.yml || exit 1; done

vulnerabilities: ## govulncheck on what is built; says so where its database cannot be reached
	GO='$(GO)' .ci/vulnerabilities

check-units: build install-tools ## systemd-analyze verify of the unit and its drop-in
	.ci/check-units ./$(BINARY)

package: ## deb and rpm for amd64 and arm64, with their checksums, into dist/
	VERSION='$(VERSION)' REVISION='$(REVISION)' GO='$(GO)' deploy/package/build dist

check-package: install-tools ## build the packages twice, install, start, upgrade and remove the deb (Debian, as root)
	VERSION='$(VERSION)' REVISION='$(REVISION)' GO='$(GO)' .ci/check-package dist

image: ## container images for amd64 and arm64 with their SBOMs, into dist/image/ (no engine needed)
	cd deploy/image && SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} $(GO) run . -out ../../dist/image -name '$(IMAGE)' -version '$(VERSION)' -revision '$(REVISION)'

check-image: ## build the image twice and compare; its files, SBOM and archives; start it as its user (a module of its own)
	cd deploy/image && $(GO) test -count=1 -timeout 15m .

release: ## all files of a release, with their checksums, into dist/release/ (TAG=v1.2.3: refuse what is not that release)
	VERSION='$(VERSION)' REVISION='$(REVISION)' GO='$(GO)' TAG='$(TAG)' deploy/package/release dist/release

check-release: ## make release in two clean clones, compare the bytes and what is in the files
	GO='$(GO)' .ci/check-release

release-notes: ## what CHANGELOG.md says of the version
	@awk -v head='## $(VERSION) / ' 'index($$0, "## ") == 1 { inside = index($$0, head) == 1; next } inside' CHANGELOG.md

check-workflows: ## actionlint on the workflows of GitHub
	$(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 .github/workflows/*.yml

manifests: ## render deploy/kubernetes from the Helm chart, and the rules into both
	$(GO) test -count=1 ./deploy -run '^TestPrometheusRuleIsFresh$$' -update
	cd deploy/kubernetes/typecheck && $(GO) test -count=1 -run '^TestManifestsAreRendered$$' -update .

check-kubernetes: ## the manifests: as the chart renders them, types of Kubernetes, kubeconform (a module of its own)
	cd deploy/kubernetes/typecheck && $(GO) test -count=1 -skip '^TestChart' .

check-helm: ## the Helm chart with every option: lint, render, types of Kubernetes, kubeconform, its configuration loaded
	cd deploy/kubernetes/typecheck && $(GO) test -count=1 -run '^TestChart' .

check-compose: ## compose.yaml by the loader of Docker Compose, and what it mounts by promtool and amtool (a module of its own)
	@.ci/install promtool
	@.ci/install amtool
	cd deploy/compose/check && $(GO) test -count=1 .

check-mixin: ## render the mixin, promtool on what comes out and on the scrape configurations
	@.ci/install promtool
	.ci/check-mixin

check-dashboards: ## the dashboards against the types that Grafana publishes (npm)
	@.ci/install npm
	.ci/check-dashboards

e2e: build ## end to end, with the real Prometheus, Alertmanager, Node.js and Chromium
	@.ci/install e2e
	$(GO) test -tags e2e -p 1 -parallel 6 -count=1 -timeout 30m ./internal/e2e/... ./internal/web

long-run: build ## the defaults on a busy and on a quiet host under the real Prometheus, alongside other exporters (as root; SPAN=20m)
	@.ci/install e2e
	SPILLWAY_LONG='$(or $(SPAN),20m)' $(GO) test -tags e2e -count=1 -timeout 24h -v -run '^TestLongRun$$' ./internal/e2e

vm-prepare: ## the image and the kubelet of that machine, into its cache
	@.ci/install vm
	$(GO) run ./internal/vmtest/host -prepare

vm-test: ## boot a Debian with the deb and test what needs systemd and cgroup v2 (as root; RUN=TestUnit: only those; ROUNDS=20: the long benchmark of TestReaction)
	@.ci/install vm
	ARCHITECTURES=amd64 VERSION='$(VERSION)' REVISION='$(REVISION)' GO='$(GO)' deploy/package/build dist/vm/deb
	cd deploy/image && SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} $(GO) run . -out ../../dist/vm/image -platforms linux/amd64 -version '$(VERSION)' -revision '$(REVISION)'
	$(GO) run ./internal/vmtest/host -deb dist/vm/deb/spillway-exporter_*_amd64.deb -image dist/vm/image/spillway_exporter_amd64.tar -run '$(RUN)' $(if $(ROUNDS),-rounds $(ROUNDS) -timeout 8h) $(if $(UPDATE),-update docs/install.md)

vm-shell: ## the console of that machine on this terminal: root without a password, poweroff ends it
	@.ci/install vm
	ARCHITECTURES=amd64 VERSION='$(VERSION)' REVISION='$(REVISION)' GO='$(GO)' deploy/package/build dist/vm/deb
	cd deploy/image && SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} $(GO) run . -out ../../dist/vm/image -platforms linux/amd64 -version '$(VERSION)' -revision '$(REVISION)'
	$(GO) run ./internal/vmtest/host -deb dist/vm/deb/spillway-exporter_*_amd64.deb -image dist/vm/image/spillway_exporter_amd64.tar -shell

bench: build ## all benchmarks, alongside their peers where there are any, into docs/benchmarks.md (20 minutes)
	examples/bench/report.sh

difftest: ## compare the evaluator with Prometheus' own rule groups (a module of its own, large downloads)
	cd internal/eval/difftest && $(GO) test -count=1 -timeout 15m .

simulate: ## simulated days of judging and acting, with crashes: SEED=n runs one story, SEEDS=n that many (default 10000)
	SEED='$(SEED)' SEEDS='$(or $(SEEDS),$(if $(SEED),1,10000))' GOGC=400 $(GO) test -count=1 -timeout 0 -v -run '^TestSimulate$$' ./internal/simulate

attack: build install-tools ## attack the built binary as other users (as root): each for ATTACK_TIME (default 5s), RUN=TestAttackX only those, UPDATE=1 writes the table
	GO='$(GO)' ATTACK_TIME='$(or $(ATTACK_TIME),5s)' ATTACK_TOTAL='$(ATTACK_TOTAL)' RUN='$(RUN)' UPDATE='$(UPDATE)' V='$(V)' .ci/attack

fuzz: ## fuzz every decoder of outside bytes for FUZZTIME each (default 20s)
	.ci/fuzz $(FUZZTIME)

screenshots: ## take the pictures of README and docs in Chromium, every state of the page
	@.ci/install e2e
	mkdir -p docs/img
	dir=$$(mktemp -d) && SPILLWAY_SCREENSHOTS=$$dir $(GO) test -tags e2e -run '^TestBrowser(States|Fleet)?$$' -count=1 -timeout 10m ./internal/web && \
	cp $$dir/page-1-*-top.png $$dir/page-12-*-top.png $$dir/page-200-*-top.png $$dir/page-target-*-top.png $$dir/page-days-*-top.png $$dir/state-*.png docs/img/ && echo "all of them: $$dir"

draw-dashboards: build ## draw the pictures of docs/dashboards.md from real exporters, one and a hundred (ten minutes, 4 GB of memory)
	@.ci/install e2e
	.ci/draw-dashboards

install-tools: ## install what make test needs and is missing; nothing of it starts a server (Debian, as root)
	@.ci/install

install-all: ## install what any target needs and is missing; servers are not started (Debian, as root)
	@.ci/install all

clean: ## remove what was built
	rm -f $(BINARY)
	rm -rf dist
