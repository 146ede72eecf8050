#!/bin/sh
# SPDX-License-Identifier: MIT
# The root comes from the agent, not from a device; `powernode.boot=0` leaves the machine to root= as if we were not here.
if getargbool 1 powernode.boot; then
    # shellcheck disable=SC2034 # dracut reads both
    root=powernode rootok=1
fi
