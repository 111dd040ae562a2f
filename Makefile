# Two commands do everything on a fresh machine: `make run` opens the console, `make test` proves it works.

PYTHON_BIN := .venv/bin/python
STAMP := .venv/.complete
SOURCES := console bundled_project tests packaging

.PHONY: run test check format bench screenshots lock clean

run: $(STAMP)
	@bash packaging/system_libraries.sh run
	@$(PYTHON_BIN) -m console $(ARGS)

test: $(STAMP)
	@bash packaging/system_libraries.sh test
	@bash packaging/run_tests.sh $(ARGS)

check: $(STAMP)
	@bash packaging/system_libraries.sh run
	$(PYTHON_BIN) -m ruff format --check $(SOURCES)
	$(PYTHON_BIN) -m ruff check $(SOURCES)
	$(PYTHON_BIN) -m mypy
	.venv/bin/lint-imports
	QT_QPA_PLATFORM=offscreen $(PYTHON_BIN) -m pytest -q tests/architecture

format: $(STAMP)
	$(PYTHON_BIN) -m ruff format $(SOURCES)
	$(PYTHON_BIN) -m ruff check --fix $(SOURCES)

bench: $(STAMP)
	@bash packaging/system_libraries.sh test
	@bash packaging/test_session.sh $(PYTHON_BIN) -m tests.bench $(ARGS)

screenshots: $(STAMP)
	@bash packaging/system_libraries.sh test
	@bash packaging/test_session.sh $(PYTHON_BIN) -m tests.screenshots $(or $(OUT),screenshots)

# Needs uv; versions move only here.
lock:
	uv pip compile pyproject.toml --group dev --extra gevent --extra mysql --extra postgres --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  -o packaging/requirements.lock

clean:
	rm -rf .venv screenshots dist build

$(STAMP): packaging/requirements.lock packaging/environment.sh
	@bash packaging/environment.sh
	@touch $(STAMP)
