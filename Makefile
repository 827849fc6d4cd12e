# make demo   sets everything up and runs the example DAG with real Airflow and real Spark; KEEP=1 leaves it running
# make test   sets everything up and runs all checks and tests
.PHONY: demo test unit mutants compat lint setup lock picture test-cluster chaos fuzz

demo: setup
	@.venv/bin/python -m demo $(if $(KEEP),--keep)

test: setup lint
	@scripts/setup --all-sparks
	@.venv/bin/python -m pytest -q -n 3 --dist loadscope --no-loadscope-reorder $(PYTEST)

# Every decision's fast tests: no JVM, no Airflow process, no localkube
unit: setup
	@.venv/bin/python -m pytest -q -n 3 --dist worksteal -m "not real and not e2e and not slow" $(PYTEST)

lint: setup
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

setup:
	@scripts/setup

# The tests marked `cluster`, against any cluster: make test-cluster KUBECONFIG=... NAMESPACE=... IMAGE=... [SERVICE_ACCOUNT=...]
test-cluster: setup
	@TEST_KUBECONFIG="$(KUBECONFIG)" TEST_NAMESPACE="$(NAMESPACE)" TEST_IMAGE="$(IMAGE)" TEST_SERVICE_ACCOUNT="$(SERVICE_ACCOUNT)" \
	  .venv/bin/python -m pytest -q -m cluster $(PYTEST) tests/e2e tests/chaos

# Every chaos scenario, those too that last as long as such faults do in the field: about half an hour
chaos: setup
	@.venv/bin/python -m pytest -q -m "slow or not slow" $(PYTEST) tests/chaos

# Lines that decide, changed one at a time: which changes does no unit test notice? MODULES="runs/flow.py" for some
mutants: setup
	@.venv/bin/python -m tests.mutants $(MODULES)

# Every Airflow, Kubernetes provider and Python that the metadata promises, each in an environment of its own
compat: setup
	@.venv/bin/python -m tests.compat $(ROWS)

# Whatever strangers write, at random, for every reader of it; command lines and pod templates are given to real
# spark-submits of three Spark versions too: about an hour
fuzz: setup
	@scripts/setup --all-sparks
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),3000) .venv/bin/python -m pytest -q $(PYTEST) \
	  tests/fuzz tests/redaction/test_corpora.py tests/spark/test_any_submission.py

# The README's picture, from a real run; needs Debian's package chromium
picture: setup
	@.venv/bin/python -m demo.picture

# Brings the lock up to pyproject.toml; UPGRADE=--upgrade renews every version
lock:
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header $(UPGRADE) \
	  --extra local --extra dev pyproject.toml -o requirements/dev.lock
