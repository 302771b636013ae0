"""python run.py early|late PROGRAM [ARGUMENT…]: a program of this folder, on green threads.

`early` patches before the program and its libraries are imported, `late` after.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import sys
import traceback

from greenworld.patches import monkey_patch

faulthandler.dump_traceback_later(35, exit=True)
order, name, *arguments = sys.argv[1:]
if order == "early":
    monkey_patch()
program = importlib.import_module(name)
if order == "late":
    monkey_patch()
try:
    program.main(*arguments)
except BaseException:
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)  # threads that still wait would hold up an ordinary end
faulthandler.cancel_dump_traceback_later()
