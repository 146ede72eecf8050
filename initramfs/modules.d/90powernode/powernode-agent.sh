#!/bin/sh
# SPDX-License-Identifier: MIT
exec /usr/bin/powernode-python -I -S -c '
import sys
sys.path.append("/usr/lib/powernode/python")
from powernode.cli.agent import main
sys.exit(main())' "$@"
