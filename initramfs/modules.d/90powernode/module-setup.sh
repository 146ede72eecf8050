#!/bin/bash
# SPDX-License-Identifier: MIT
# dracut module: this distribution's Python, with what the agent imports of it, and the agent. The agent computes and mounts
# the root in the mount hook; dracut does everything before and after.
#
# Needs `powernode` importable by python3 on the build machine (POWERNODE_SOURCE names another folder that has it).

powernode_python() {
    readlink -f "$(command -v "${POWERNODE_PYTHON:-python3}")"
}

check() {
    require_binaries "${POWERNODE_PYTHON:-python3}" || return 1
    "$(powernode_python)" "$moddir/closure.py" --check "${POWERNODE_SOURCE:-}" || {
        dwarn "powernode: python3 cannot import it; pip install powernode, or set POWERNODE_SOURCE"
        return 1
    }
    return 255 # only when asked for, as dracut.conf.d/powernode.conf does
}

depends() {
    echo base
}

installkernel() {
    hostonly='' instmods erofs overlay ext4 loop
    instmods virtio_pci virtio_blk virtio_net qemu_fw_cfg vfat nls_cp437 nls_ascii 9p 9pnet_virtio virtiofs
}

install() {
    local python file
    python=$(powernode_python)
    inst_multiple -o e2fsck
    # A line is `FILE` (installed where it is, with its libraries) or `FILE PLACE`.
    while read -r file place; do
        inst "$file" ${place:+"$place"}
    done < <("$python" "$moddir/closure.py" --list "${POWERNODE_SOURCE:-}")
    inst_simple "$python" /usr/bin/powernode-python
    inst_binary "$python" /usr/bin/powernode-python
    "$python" -m compileall -q --invalidation-mode unchecked-hash -s "$initdir" \
        "$initdir$("$python" -c 'import os; print(os.path.dirname(os.__file__))')" "$initdir/usr/lib/powernode/python"
    inst_simple "$moddir/powernode-agent.sh" /usr/bin/powernode-agent
    for file in config.json fleet-root.pem base.set; do
        [ ! -e "/etc/powernode/$file" ] || inst_simple "/etc/powernode/$file"
    done
    inst_hook cmdline 90 "$moddir/powernode-cmdline.sh"
    inst_hook mount 90 "$moddir/powernode-mount.sh"
}
