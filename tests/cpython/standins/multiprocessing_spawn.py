"""CPython's tests of `multiprocessing`, `spawn`, where its own module for them is missing."""

import importlib
from typing import Any

tests: Any = importlib.import_module("test._test_multiprocessing")
tests.install_tests_in_module_dict(globals(), "spawn")
