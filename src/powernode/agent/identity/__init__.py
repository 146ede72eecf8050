# SPDX-License-Identifier: MIT
"""identity: who this machine is, where its platform is, whom to trust there; `cascade.resolve` is the door.

May use base, linux.cmdline and the standard library; the agent's boot and introspect use it. One file per source, each
of which only reads: nothing here mounts, configures a link, writes or enrolls. docs/identity.md is the operator's page.
"""
