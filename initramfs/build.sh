#!/bin/sh
# SPDX-License-Identifier: MIT
# ARCH=arm64 VARIANT=kernel-initrd initramfs/build.sh [options of `powernode image build`]
# No VARIANT: every variant there is. No ARCH: this machine's.
set -eu
cd "$(dirname "$0")/.."
.ci/setup run
case ${ARCH:-$(uname -m)} in
    amd64 | x86_64) arch=amd64 ;;
    arm64 | aarch64) arch=arm64 ;;
    *) echo "build.sh: ARCH is amd64 or arm64, not $ARCH" >&2 && exit 2 ;;
esac
exec .venv/bin/powernode image build --arch "$arch" ${VARIANT:+--variant "$VARIANT"} "$@"
