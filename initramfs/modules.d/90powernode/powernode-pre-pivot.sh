#!/bin/sh
# SPDX-License-Identifier: MIT
# Whoever else mounted a root, such as systemd one that it found by its partition type: nobody has verified it.
if [ "$root" = powernode ] && [ ! -e /run/powernode/boot.json ]; then
    die "powernode: this root was not mounted by the agent"
fi
