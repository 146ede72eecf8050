/* SPDX-License-Identifier: MIT
 *
 * From a path to the node of its parent directory, while a tree is being read. Lines usually come depth first, so the
 * parent is nearly always the one of the line before, its child or one of its ancestors; every other step is one hash
 * lookup. Paths are taken as written: repeated slashes and a missing first one do not matter, `.` and `..` are names
 * that no directory has.
 */
#ifndef PN_COMPOSEFS_DUMP_PATH_H
#define PN_COMPOSEFS_DUMP_PATH_H

#include "dump_text.h"
#include "tree.h"

struct pn_path_cache {
    struct pn_index directories; /* by (parent, name) */
    struct pn_slice path;        /* of the last parent, without repeated slashes; "" is the root */
    uint32_t node;
};

/* A new directory can be found by later paths. */
int pn_path_cache_add(struct pn_path_cache *cache, const struct pn_tree *tree, uint32_t directory);

/* Splits `path` into the node of its parent and the name. PN_NONE in *parent: no such directory. */
int pn_path_parent(struct pn_path_cache *cache, struct pn_tree *tree, struct pn_slice path, uint32_t *parent,
                   struct pn_slice *name);

/* The node at a path of a finished tree, or PN_NONE. */
uint32_t pn_path_find(const struct pn_tree *tree, struct pn_slice path);

#endif
