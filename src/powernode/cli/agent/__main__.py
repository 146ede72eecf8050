# SPDX-License-Identifier: MIT
"""`python -m powernode.cli.agent`, for an initramfs, where no script is installed."""

import sys

from powernode.cli.agent import main

sys.exit(main())
