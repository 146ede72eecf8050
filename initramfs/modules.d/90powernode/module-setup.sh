#!/bin/bash
# SPDX-License-Identifier: MIT
# dracut module: the agent, and of this distribution's Python what the agent imports. It computes and mounts the root in
# the mount hook; dracut does everything before and after. See docs/dracut.md.
#
# powernode_python in dracut.conf names the interpreter that can import powernode; the default is python3.

check() {
    "${powernode_python:-python3}" -c 'import powernode' 2> /dev/null || {
        dwarn "powernode: ${powernode_python:-python3} cannot import it; install it there, or set powernode_python"
        return 1
    }
    return 255 # only when asked for, as dracut.conf.d/powernode.conf does
}

depends() {
    echo base
}

installkernel() {
    # The verified root and the disk, then ways to tell a machine who it is and what to mount of its host.
    hostonly='' instmods erofs overlay ext4 loop zram
    hostonly='' instmods vfat nls_cp437 nls_ascii nls_iso8859_1 qemu_fw_cfg 9p 9pnet_virtio virtiofs
}

install() {
    "${powernode_python:-python3}" "$moddir/closure.py" "$initdir" || {
        dfatal "powernode: the agent cannot be installed"
        exit 1
    }
    inst_multiple -o e2fsck /etc/ssl/certs/ca-certificates.crt \
        /etc/powernode/config.json /etc/powernode/fleet-root.pem /etc/powernode/base.set
    # Opened while running: by the agent to check signatures, by libc when a thread ends.
    inst_libdir_file 'libcrypto.so.3*' 'libgcc_s.so.1'
    inst_hook cmdline 90 "$moddir/powernode-cmdline.sh"
    inst_hook mount 90 "$moddir/powernode-mount.sh"
    inst_hook pre-pivot 10 "$moddir/powernode-pre-pivot.sh"
}
