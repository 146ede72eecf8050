#!/bin/sh
# SPDX-License-Identifier: MIT
# Let the agent mount the root. When it finds nothing it may boot, it says so itself and restarts the machine.
if [ "$root" = powernode ]; then
    mount --make-private / # systemd shares it, and the kernel moves nothing out of a shared mount
    # What systemd lets through to the console is the standard error.
    powernode-agent boot --stay >&2 || die "powernode: the agent could not mount a root"
fi
