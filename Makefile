# make demo   open the bundled heart volume in napari, run the bundled model, show its labels
# make test   run every test, in real windows where it needs one, then a choice of the window tests on PyQt5
# make test COVERAGE=--cov   the same, and print which lines no test reaches: a third slower
# make slow   run the tests that take long, such as those with real clusters of dask (four minutes on two cores)
# make lint   check the code: ruff's rules and layout, types
# make bench  time the networks and methods, each in a process of its own, into benchmarks/RESULTS.md
# make docs  build the documentation into site/, without a network once its tools are in .venv; a warning is an error
# make cards  write the pages about the bundled models from their cards
# make pictures   take the pictures of the docs again, in real windows (minutes); with DICOM=FOLDER also that of its series
# make judges  let readers of other programs say what they see in our files; installs dcmqi (3D Slicer's DICOM SEG reader),
#              OHIF's reader where Node.js is installed, the BIDS validator, and ome-zarr in an environment of its own
# make fuzz   read 3,000 damaged files of every kind; each must give a value or a sentence, in time (five minutes on two cores)
#
# The first call makes the environment in .venv; later calls need no network.

PYTHON ?= python3
VENV := .venv
QT5 := .venv-qt5
# ome-zarr-models wants an older pydantic than the rest
OME_ZARR := tests/judges/ome_zarr
XVFB := xvfb-run -a -s "-screen 0 1600x1000x24"
# two processes, each with a virtual display of its own, take file after file in the order that tests/conftest.py gives;
# where one crashes the run ends: with another in its place pytest-xdist may wait for ever
PYTEST := $(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

PACKAGES := $(shell $(PYTHON) -c "import ensurepip" 2>/dev/null || echo python3-venv) \
	libgl1 libegl1 libglib2.0-0 libfontconfig1 libdbus-1-3 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 \
	libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 libxkbcommon-x11-0 \
	xvfb xauth libgl1-mesa-dri

.PHONY: bench cards demo docs fuzz judges lint packages pictures slow test

demo: packages $(VENV)/installed
ifeq ($(DISPLAY)$(WAYLAND_DISPLAY),)
	$(XVFB) $(VENV)/bin/python -m napari_medseg.widgets.demo --output demo
else
	$(VENV)/bin/python -m napari_medseg.widgets.demo
endif

test: packages $(QT5)/installed
	$(PYTEST) -m "not slow" $(COVERAGE)
	PYTHONPATH="$(CURDIR)/$(QT5)" QT_API=pyqt5 PYTEST_QT_API=pyqt5 $(PYTEST) -m smoke tests/widgets

slow: $(VENV)/installed
	$(VENV)/bin/python -m pytest -m slow

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ty check

bench: $(VENV)/installed
	$(VENV)/bin/python benchmarks/bench.py

fuzz: $(VENV)/installed
	OMP_NUM_THREADS=1 $(VENV)/bin/python tools/fuzz.py

docs: $(VENV)/docs
	$(VENV)/bin/python -m sphinx -b html -W --keep-going -q -d $(VENV)/doctrees -c docs . site
	@! grep -rnE '<(script|link|img)[^>]* (src|href)="https?:' site --include='*.html' || (echo 'A page loads something from the network.' && false)

cards: $(VENV)/installed
	$(VENV)/bin/python tools/make_cards.py

pictures: packages $(VENV)/installed
	$(XVFB) $(VENV)/bin/python tools/pictures.py docs
	$(XVFB) $(VENV)/bin/python tools/walk_review.py docs
	$(XVFB) $(VENV)/bin/python tools/walk_new_user.py docs --way dialog
ifdef DICOM
	$(XVFB) $(VENV)/bin/python tools/picture_series.py docs --dicom "$(DICOM)"
else
	@echo "docs/opening_series.png stays as it is: it shows several DICOM series; name a folder of them by DICOM=FOLDER."
endif

judges: $(VENV)/installed
	$(VENV)/bin/python -m pip install -c constraints.txt -e ".[judges]"
	@if command -v npm >/dev/null; then cd tests/judges/ohif && npm ci --no-audit --no-fund; \
	else echo "npm is missing: OHIF's reader is left out. Install Node.js 20 or newer to ask it too."; fi
	test -x $(OME_ZARR)/.venv/bin/python || $(PYTHON) -m venv $(OME_ZARR)/.venv
	$(OME_ZARR)/.venv/bin/python -m pip install -q -r $(OME_ZARR)/requirements.txt
	$(VENV)/bin/python -m pytest tests/judges tests/runs/test_bids.py

packages:
	@sh tools/apt_packages.sh $(PACKAGES)

$(VENV)/installed: setup.cfg constraints.txt | packages
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -c constraints.txt -e ".[all,baseline,dicom,test]"
	touch $@

# PyQt5 alone, in a folder of its own: everything else, torch above all, comes from .venv
$(QT5)/installed: $(VENV)/installed
	$(VENV)/bin/python -m pip install -c constraints.txt --upgrade --target $(QT5) PyQt5
	touch $@

# apart from the tools of the tests: whoever only runs and tests needs none of them
$(VENV)/docs: $(VENV)/installed
	$(VENV)/bin/python -m pip install -c constraints.txt -e ".[docs]"
	touch $@
