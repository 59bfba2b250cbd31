# make demo, make test, make lint: each sets up .venv first, in a fresh clone too
PYTHON ?= python3
READY := .venv/.ready
EXTRAS := dev,heic,offline,onnx,openvino,review,sweep,tensorboard
QUICK := $(patsubst %,tests/test_%.py,augmentation masks metrics model photos predict runtimes splits train tta)

demo: $(READY)
	.venv/bin/python -m flukeseg.train +experiment=demo

test: $(READY)
	.venv/bin/python -m pytest --numprocesses 2 --dist loadscope

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# known vulnerabilities in the versions of the tests; asks a registry, so it is not part of lint
audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/pip-audit --requirement .ci/constraints.txt --no-deps --disable-pip

# the lowest versions that pyproject.toml admits, 3 GB of downloads, and quick tests on them; they
# warn of what has changed since, which is no error here
lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --constraint .ci/lowest.txt --editable ".[$(EXTRAS)]"
	.venv-lowest/bin/python -m pytest -o filterwarnings=default $(QUICK)

# the versions that the tests passed on; leave the constraints out to take the newest
$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --constraint .ci/constraints.txt --editable ".[$(EXTRAS),int8]"
	touch $@

.PHONY: demo test lint audit lowest
