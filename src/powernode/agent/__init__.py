# SPDX-License-Identifier: MIT
"""agent: the node. It finds out who it is, chooses what to run, and runs exactly that or says why not.

May use wire, trust, composefs, linux, manifest and below; standard library only; only cli may use it. What the modules
decide is values in and values out (`choose`, `config`, `sets`); `kernel` is the one door through which they act.
"""
