# SPDX-License-Identifier: MIT
"""`python -m powernode.cli.agent`, for an initramfs, where no script is installed.

Such a process is short and a boot waits for it: nothing is looked through for garbage, nothing is taken apart at the
end, which together is a sixth of what starting and importing cost.
"""

import gc
import os
import sys

from powernode.cli.agent import main

gc.disable()
status = main()
sys.stderr.flush()
os._exit(status)
