# Everything a contributor or a user of a checkout does. `make help` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help
# Node 24 comes with the npm packages, whatever the machine has.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help setup build test test-kubernetes test-cluster lint verify manifests docker-build docker-push install deploy undeploy demo up run bench

help: ## list the targets
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

setup: node_modules/.setup ## install what is missing: npm packages, and nats-server and bubblewrap where we are root
	@sh build/packages.sh nats-server --optional bwrap

node_modules/.setup: package.json package-lock.json build/setup.sh
	@sh build/setup.sh
	@touch $@

build: setup ## bundle every program into dist/ and print the sizes
	@node build/bundle.ts

build-%: setup ## bundle one program; build-k8sclaw is the command line
	@node build/bundle.ts $(patsubst k8sclaw,cli,$*)

test: setup ## run all tests; the last line is `N passed, N failed`
	@sh build/packages.sh curl python3
	@node build/bundle.ts >/dev/null
	@node build/test.ts --project=unit --project=platform

test-kubernetes: setup ## run the tests against a real kube-apiserver (docs/kubernetes-tests.md)
	@node build/bundle.ts >/dev/null
	@node test/kubernetes/run.ts

test-cluster: setup ## run the tests on a real node, this machine, or on the cluster of KUBECONFIG (docs/cluster-tests.md)
	@node test/cluster/run.ts

lint: setup ## types, formatting, lint rules, the import table, what nothing uses
	@tsc
	@biome check --error-on-warnings
	@oxlint --type-aware --quiet
	@node build/import-table.ts
	@knip

manifests: setup ## write the generated files: CRDs and rendered manifests
	@node build/manifests.ts

verify: setup ## regenerate and compare what is generated; see that no program of a run can speak to Kubernetes
	@node build/verify.ts

docker-build: node_modules/.setup ## build the images of the programs (IMAGE_PREFIX, TAG, BASE, SHELL_BASE, CONTAINER_TOOL) and print their sizes
	@node build/images.ts

docker-push: node_modules/.setup ## push those images
	@node build/images.ts push

# The cluster of the current kubeconfig. OVERLAY is a kustomize folder of one's own instead of config/default.
IMAGE_PREFIX ?= k8sclaw
TAG ?= dev
TIMEOUT ?= 5m
KUBECTL ?= kubectl
MANIFESTS = $(if $(OVERLAY),$(KUBECTL) kustomize $(OVERLAY) |)
FROM_STDIN = $(if $(OVERLAY),-f -)

.PHONY: cli
cli: node_modules/.setup
	@node build/bundle.ts cli >/dev/null

install: cli ## install the definitions of the kinds in the cluster of the kubeconfig
	@bin/k8sclaw install --crds

deploy: cli ## install the platform there (IMAGE_PREFIX, TAG, OVERLAY, TIMEOUT); returns once it admits runs
	@$(MANIFESTS) bin/k8sclaw install $(FROM_STDIN) --image-prefix $(IMAGE_PREFIX) --tag $(TAG) $(if $(NATS_IMAGE),--nats-image $(NATS_IMAGE)) --timeout $(TIMEOUT)

undeploy: cli ## delete it from there, with everything that our kinds hold
	@$(MANIFESTS) bin/k8sclaw uninstall $(FROM_STDIN) --yes --timeout $(TIMEOUT)

demo: setup ## start the platform, run an agent task that uses tools, print its stream and result, stop
	@node build/bundle.ts >/dev/null
	@node examples/demo/main.ts

up: setup ## start the platform on this machine in the foreground (k8sclaw up)
	@node build/bundle.ts >/dev/null
	@bin/k8sclaw up

run: setup ## run the controller from source against the current kubeconfig (CONTRIBUTING.md says what it needs)
	@node programs/controller/main.ts

bench: setup ## measure the figures of docs/bench.md; prints a table, writes bench/results/latest.json
	@node build/bundle.ts >/dev/null
	@node bench/run.ts
