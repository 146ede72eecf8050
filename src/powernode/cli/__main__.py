# SPDX-License-Identifier: MIT
"""`python -m powernode.cli`, for where no script is installed."""

import sys

from powernode.cli import main

sys.exit(main())
