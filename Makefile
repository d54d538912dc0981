# candlecast: every command a person types. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(or $(shell command -v uv),.uv/bin/uv)
CODE := candlecast dispatcher ingestion_job monitoring service tools training ui tests

export UV_PROJECT_ENVIRONMENT := $(VENV)
export GRADIO_ANALYTICS_ENABLED := False
export BENTOML_DO_NOT_TRACK := True
export HF_HUB_OFFLINE := 1

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F '\t' '{printf "  make %-16s %s\n", $$1, $$2}'
	@echo
	@echo "  make run takes VENUE=binance|coinbase|kraken|simulated|replay SERIES=... and for the replay DATA=DIR START=DATE SPEED=N"
	@echo "  and MONITORING=1, which runs Prometheus beside it"

.PHONY: setup
setup: $(VENV)/.ready ## Install everything that is locked into .venv

$(VENV)/.ready: uv.lock pyproject.toml | $(UV)
	@echo "Installing the locked packages into $(VENV) ..."
	@$(UV) sync --frozen --quiet --python $(PYTHON)
	@touch $@

.uv/bin/uv:
	@echo "Fetching uv, the package installer ..."
	@$(PYTHON) -c 'import sys; sys.exit("candlecast needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9'

.PHONY: run
run: $(VENV)/.ready ## Run the whole product here; Ctrl-C stops it
	@exec $(BIN)/python -m tools.run --venue '$(VENUE)' --data '$(DATA)' --series '$(SERIES)' --start '$(START)' --speed '$(SPEED)' --monitoring '$(MONITORING)'

.PHONY: ui
ui: $(VENV)/.ready ## Run the screen alone on a service anywhere: API_BASE_URL=; without a token it only reads
	@exec $(BIN)/python -m ui $(if $(API_BASE_URL),--api-base-url '$(API_BASE_URL)')

.PHONY: test
test: $(VENV)/.ready ## Run the tests
	$(BIN)/pytest

.PHONY: test-all
test-all: $(VENV)/.ready ## Run the tests and those that take minutes: faults, much data
	$(BIN)/pytest -m 'slow or not slow'

.PHONY: smoke
smoke: $(VENV)/.ready ## Walk a running service and stop at the first lie; URL=http://127.0.0.1:3000
	$(BIN)/python -m tools.smoke '$(or $(URL),http://127.0.0.1:3000)'

.PHONY: soak
soak: $(VENV)/.ready ## Play random faults, ask the API anything, and ask on for minutes; SCRIPTS=3000 FIRST=1000
	CANDLECAST_HOSTILE_SCRIPTS=$(or $(SCRIPTS),3000) CANDLECAST_HOSTILE_FIRST=$(or $(FIRST),1000) \
		$(BIN)/pytest tests/ingestion_job/test_hostile.py
	CANDLECAST_SCHEMA_EXAMPLES=1100 $(BIN)/pytest tests/service/test_schema.py
	$(BIN)/python -m tests.bench.soak_serving

.PHONY: check
check: $(VENV)/.ready ## Lint, check types and the wall between the apps
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(UV) lock --check --quiet

.PHONY: fix
fix: $(VENV)/.ready ## Mend what the linter can mend
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

.PHONY: generate
generate: $(VENV)/.ready ## Write what is copied from other sources; a test fails when it is stale
	$(BIN)/python -m tools.generate_docs
	$(BIN)/python -m tools.generate_kubernetes

# CLUSTER=../shared/cluster/cluster builds with that command; ENGINE, REGISTRY, TAG, BASE and TESTS are yours to set.
ENGINE ?= $(firstword $(foreach e,docker podman buildah,$(if $(shell command -v $(e)),$(e))))
REGISTRY ?= localhost
TAG ?= dev
BASE ?= $(if $(CLUSTER),localhost/python:3.12,docker.io/library/python:3.12-slim)
BUILD = $(if $(CLUSTER),$(CLUSTER) build,$(ENGINE) build)
TESTS ?= tests/cluster
IMAGES := ingestion training service ui monitoring
INDEX := $(foreach v,PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST,$(if $($(v)),--build-arg $(v)))

.PHONY: images
images: sbom $(IMAGES:%=image-%) ## Build all images, say what is in them and how large they are; ENGINE= REGISTRY= TAG= BASE=
	-@$(PYTHON) -m tools.image_sizes $(if $(CLUSTER),podman,$(ENGINE)) $(BASE) $(IMAGES:%=$(REGISTRY)/candlecast/%:$(TAG))

.PHONY: push
push: ## Push the images that `make images` built: make images push REGISTRY=registry.example.com/me TAG=1
	@[ '$(REGISTRY)' != localhost ] || { echo "make push needs REGISTRY=registry.example.com/me, and the same for make images"; exit 1; }
	for app in $(IMAGES); do $(ENGINE) push $(REGISTRY)/candlecast/$$app:$(TAG) || exit 1; done

# A bill of materials per image, out of the lock: packages, versions, licences, hashes. Debian's packages are the base's.
.PHONY: sbom
sbom: | $(UV)
	@mkdir -p dist/sbom
	@$(foreach e,ingestion:ingest training:train service:serve ui:ui monitoring:monitor,\
		$(UV) export --quiet --frozen --no-dev --no-emit-project --format cyclonedx1.5 --preview-features sbom-export \
		--extra $(lastword $(subst :, ,$(e))) -o dist/sbom/$(firstword $(subst :, ,$(e))).cdx.json >/dev/null &&) true

image-%:
	@[ -n '$(CLUSTER)$(ENGINE)' ] || { echo "make images needs docker, podman or buildah, or ENGINE=..."; exit 1; }
	$(BUILD) --build-arg BASE=$(BASE) $(INDEX) --build-arg VERSION=$(TAG) --build-arg REVISION=$(shell git rev-parse HEAD) \
		--target $* -t $(REGISTRY)/candlecast/$*:$(TAG) .

# What the release workflow does with a tag (docs/releasing.md). DRY_RUN=1 stops before anything leaves this machine.
VERSION ?= $(shell sed -n 's/^version: //p' helm/candlecast/Chart.yaml)
CHARTS ?= oci://$(REGISTRY)/charts
CLUSTER_BIN := $(or $(CLUSTER_HOME),$(HOME)/.cache/candlecast-cluster)/bin
HELM := $(or $(shell command -v helm),$(CLUSTER_BIN)/helm)
KUBECTL := $(or $(shell command -v kubectl),$(CLUSTER_BIN)/kubectl)
PACKAGE = dist/chart/candlecast-$(VERSION).tgz

.PHONY: release
release: $(VENV)/.ready ## Build, try, sign and push a release; DRY_RUN=1 pushes nothing; REGISTRY= KEY= CLUSTER=
	$(if $(DRY_RUN)$(filter-out localhost,$(REGISTRY)),,@echo "make release needs REGISTRY=registry.example.com/me"; exit 1)
	$(if $(DRY_RUN)$(KEY),,@echo "make release needs KEY=, the name of the key that signs the chart"; exit 1)
	$(BIN)/python -m tools.release check '$(VERSION)'
	$(if $(CLUSTER),$(CLUSTER) base)
	$(MAKE) images TAG='$(VERSION)'
	$(BIN)/python -m tools.release chart '$(VERSION)' --registry '$(REGISTRY)' \
		$(if $(KEY),--key '$(KEY)' $(if $(KEYRING),--keyring '$(KEYRING)'))
	$(if $(KEY),,@echo "NOT WALKED: the signature of the chart, which needs KEY=")
	$(MAKE) release-$(or $(AT_HAND),nowhere) TAG='$(VERSION)'
	$(if $(DRY_RUN),@printf 'would push %s\n' $(LEAVES))
	$(if $(DRY_RUN),,$(MAKE) push TAG='$(VERSION)')
	$(if $(DRY_RUN),,$(HELM) push $(PACKAGE) '$(CHARTS)')

LEAVES = $(IMAGES:%=$(REGISTRY)/candlecast/%:$(VERSION)) '$(CHARTS)/candlecast:$(VERSION)' $(if $(KEY),$(PACKAGE).prov)

# Where a release is tried before it leaves: in CLUSTER=, which takes images of localhost alone, else in kind.
AT_HAND = $(if $(CLUSTER),$(if $(filter localhost,$(REGISTRY)),cluster),$(if $(and $(shell command -v kind),$(shell command -v docker)),kind))

.PHONY: release-nowhere
release-nowhere:
	@echo "NOT WALKED: the installation and helm test, which need kind and docker, or CLUSTER= with REGISTRY=localhost"

.PHONY: release-cluster
release-cluster:
	$(CLUSTER) up
	$(CLUSTER) load $(IMAGES:%=candlecast/%:$(TAG)) postgres:15
	$(MAKE) release-install

.PHONY: release-kind
release-kind: kind-load
	$(MAKE) release-install

# In a namespace of its own, without ports of the node, which a trial beside it may have. It stays when it failed. The
# cluster tests wipe the volumes of namespaces with such a name.
INSIDE = $(if $(CLUSTER),$(CLUSTER) run)
TRIED := --namespace candlecast-test-release
PORTLESS := --set service.type=ClusterIP,service.nodePort=0,ui.type=ClusterIP,ui.nodePort=0
OWN_POSTGRES := --set database.trial.image.registry=localhost,database.trial.image.repository=postgres --set-string database.trial.image.tag=15

.PHONY: release-install
release-install:
	$(INSIDE) $(HELM) upgrade --install candlecast $(PACKAGE) $(TRIED) --create-namespace --wait --timeout 10m \
		--values k8s/kind-values.yaml $(PORTLESS) $(if $(CLUSTER),$(OWN_POSTGRES))
	$(INSIDE) $(HELM) test candlecast $(TRIED) --logs
	$(INSIDE) $(HELM) uninstall candlecast $(TRIED) --wait
	$(INSIDE) $(KUBECTL) delete namespace candlecast-test-release

# A kind cluster with the images in it, and the trial in that; needs kind, docker and helm.
.PHONY: cluster-up
cluster-up: images ## Make a kind cluster and load the images
	$(MAKE) kind-load

.PHONY: kind-load
kind-load:
	kind get clusters | grep -qx candlecast || kind create cluster --config k8s/kind.yaml
	kind load docker-image --name candlecast $(IMAGES:%=$(REGISTRY)/candlecast/%:$(TAG))

.PHONY: cluster-install
cluster-install: ## Install the trial into the current cluster, with candles of a simulated market; VALUES=
	$(HELM) upgrade --install candlecast helm/candlecast --namespace candlecast --create-namespace --wait --timeout 10m \
		--set image.registry=$(REGISTRY),image.tag=$(TAG) --values $(or $(VALUES),k8s/kind-values.yaml)
	$(HELM) test candlecast --namespace candlecast --logs

.PHONY: test-cluster
test-cluster: $(VENV)/.ready ## Try the chart on a real cluster: KUBECONFIG whose nodes have the images, or CLUSTER=
	$(if $(CLUSTER),tests/cluster/images $(CLUSTER) && tests/cluster/previous-images $(CLUSTER))
	CANDLECAST_TEST_CLUSTER=1 $(if $(CLUSTER),$(CLUSTER) run) $(BIN)/python -m pytest $(RECORD) -v -s --timeout 900 $(TESTS)
	$(BIN)/python -m tools.scorecard

RECORD := -p tests.rows --rows tests/deploy/outcomes.json

.PHONY: scorecard
scorecard: $(VENV)/.ready ## Try the chart's rows that need files only, and write docs/kubernetes-scorecard.md
	$(BIN)/python -m pytest $(RECORD) -m 'row and (slow or not slow)' tests/deploy tests/monitoring
	$(BIN)/python -m tools.scorecard

.PHONY: bench
bench: $(VENV)/.ready ## Measure how fast candles are written, drift told, the screen drawn, forecasts answered, each against a floor
	$(BIN)/python -m tests.bench.write_path
	$(BIN)/python -m tests.bench.scrape
	$(BIN)/python -m tests.bench.drift
	$(BIN)/python -m tests.bench.screen
	$(BIN)/python -m tests.bench.serving
	$(BIN)/python -m tests.bench.series_memory
	$(BIN)/python -m tests.bench.computing
	$(BIN)/python -m tests.bench.predictors
	$(BIN)/python -m tests.bench.starting

.PHONY: bench-forecast
bench-forecast: $(VENV)/.ready ## Judge the model beside every yardstick on real candles; goes on where it was; DATA=
	$(BIN)/python -m tools.bench_forecast $(if $(DATA),--data '$(DATA)')

.PHONY: clean
clean: ## Forget all local data: candles, models and the ledger under var/
	rm -rf var
