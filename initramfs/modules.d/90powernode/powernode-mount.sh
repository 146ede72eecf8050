#!/bin/sh
# SPDX-License-Identifier: MIT
# Let the agent mount the root. When it finds nothing that may boot it says so itself and reboots.
if getargbool 1 powernode.boot && ! ismounted "$NEWROOT"; then
    powernode-agent boot || die "powernode: the agent could not mount a root"
fi
