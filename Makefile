# make install   everything into ./venv (VENV=…); nothing when it is there
#                PYTHON=python3.12 (a name, a path, a version) chooses the Python, here and below; else the newest one
# make mini      the miniature recipe, from synthesis to results
# make demo      a page in the browser to talk to the mini model, which is trained first where it is not
# make an4       the recipe on real speech; AN4=/path/to/an4 where the corpus is
# make test      style, shell scripts and tests
# make wheel     dist/slm_espnet-….whl, which holds the recipes, too
# make clean     remove the environment and what the recipes wrote
VENV ?= venv
# absolute; not by abspath, which parts a path with a blank
override VENV := $(if $(filter /%,$(firstword $(VENV))),$(VENV),$(CURDIR)/$(VENV))
unexport PYTHON  # which scripts of recipes take for their interpreter
PYTHON_OF_VENV = '$(VENV)/bin/python'
# not the recipes' links to one and the same script
SHELL_SCRIPTS = $(shell git ls-files -co --exclude-standard '*.sh' .ci/run | xargs -I{} sh -c 'test -L {} || echo {}')

# what ./run.sh of the mini recipe trains
MINI_MODEL = exp/slm_mini_train_asr_asr_seed1

.PHONY: install mini demo an4 test wheel clean

install:
	@PYTHON='$(PYTHON)' utils/install.sh '$(VENV)'

mini: install
	@. '$(VENV)/bin/activate' && cd egs2/mini/slm1 && ./run.sh

demo: install
	@. '$(VENV)/bin/activate' && cd egs2/mini/slm1 && { test -f $(MINI_MODEL)/adapter.safetensors || ./run.sh --stop_stage 4; } \
	    && exec python -m slm_espnet.bin.demo --model $(MINI_MODEL)

an4: install
	@. '$(VENV)/bin/activate' && cd egs2/an4/slm1 && ./run.sh

test: install
	@$(PYTHON_OF_VENV) -m ruff check .
	@. '$(VENV)/bin/activate' && shellcheck -x -P SCRIPTDIR:SCRIPTDIR/.. $(SHELL_SCRIPTS)
	@. '$(VENV)/bin/activate' && python -m pytest -n auto --maxprocesses 4 --dist loadgroup

wheel: install
	@rm -rf build dist && $(PYTHON_OF_VENV) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . && ls -sh dist

clean:
	rm -rf venv egs2/*/*/data egs2/*/*/dump egs2/*/*/exp build dist *.egg-info .pytest_cache .ruff_cache
