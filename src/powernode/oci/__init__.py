# SPDX-License-Identifier: MIT
"""oci: artifacts as others keep them: references, documents, the layout on disk, the registry protocol, both its ends.

May use net and base; runs on the node, so it is standard library only. What an artifact means and who signed it is not
decided here.
"""
