# SPDX-License-Identifier: MIT
"""server: a registry of our own (OCI distribution 1.1), for development, tests, and the platform to embed.

May use the rest of oci, net and base. `handler` answers one request and knows no sockets; `storage` and `uploads` are a
folder; `access` says who may; `listen` is the only part that touches the network.
"""
