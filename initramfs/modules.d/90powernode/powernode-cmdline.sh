#!/bin/sh
# SPDX-License-Identifier: MIT
# The root comes from the agent, not from a device; with powernode.boot=0 the machine is left to root= as if we were not
# here. Both at once is a contradiction: what root= names would be mounted without ever being verified.
if getargbool 1 powernode.boot; then
    [ -z "$root" ] || die "powernode: root=$(getarg root=) would not be verified: add powernode.boot=0, or root= with nothing behind it"
    # shellcheck disable=SC2034 # dracut reads both
    root=powernode rootok=1
fi
