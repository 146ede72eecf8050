/* SPDX-License-Identifier: MIT
 *
 * Dump text to tree. The text must outlive the tree, which points into it.
 */
#ifndef PN_COMPOSEFS_DUMP_PARSE_H
#define PN_COMPOSEFS_DUMP_PARSE_H

#include "tree.h"

#define PN_DUMP_STRICT 1u /* no missing last newline, no device number of a non-device, exact symlink sizes */
#define PN_DUMP_FLAGS PN_DUMP_STRICT

/* A finished tree with checked links in *tree, or -errno and the reason in *failure. */
int pn_tree_from_dump(const uint8_t *text, uint64_t size, uint32_t flags, struct pn_tree **tree,
                      struct pn_failure *failure);

#endif
