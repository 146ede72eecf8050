# SPDX-License-Identifier: MIT
# One word for each thing. `make demo` and `make test` are all a stranger needs.
PYTHON = .venv/bin/python
CSOURCES = $(wildcard csrc/*.[ch] csrc/*/*.[ch] tests/native/*.c)

.PHONY: help demo test check fuzz powercut dracut bench clean

help:
	@echo 'make demo    show what powernode can do, on this machine, next to the tools people use today'
	@echo 'make test    every test: the C library through both doors, plain Python, the reference tools, a booted kernel'
	@echo 'make check   formatting, lint, types, import directions, symbols, generated files: seconds'
	@echo 'make fuzz    a minute of fuzzing for each parser of untrusted bytes (FUZZ_SECONDS=600 for more)'
	@echo 'make powercut cut the power of emulated machines many times (POWER_CUTS=100 for more); make test does it twice'
	@echo 'make dracut   the agent in an initramfs built by dracut, booted; makes a chroot the first time'
	@echo 'make bench   measure us and the peers in one run; JSON in bench/results/'
	@echo 'make clean   remove what the others made'

demo:
	@.ci/setup demo
	@$(PYTHON) examples/demo

test:
	@.ci/setup test
	@$(PYTHON) tests/run.py

check:
	@.ci/setup test
	@$(PYTHON) tests/check.py

fuzz:
	@.ci/setup fuzz
	@$(PYTHON) csrc/fuzz/run.py --seconds $${FUZZ_SECONDS:-60}

powercut:
	@.ci/setup test
	@POWERNODE_POWER_CUTS=$${POWER_CUTS:-20} $(PYTHON) -m pytest tests/vm/test_power_cut_vm.py tests/vm/test_first_boot_cut_vm.py

dracut:
	@.ci/setup test
	@POWERNODE_DRACUT=1 $(PYTHON) -m pytest tests/interop/test_dracut.py

bench:
	@.ci/setup test
	@for script in bench/verity.py bench/composefs.py bench/image.py bench/boot.py bench/module.py; do $(PYTHON) $$script || exit 1; done

clean:
	rm -rf .venv .cache build dist src/*.egg-info src/powernode/native/*.so bench/results
	find . -name __pycache__ -prune -exec rm -rf {} +
