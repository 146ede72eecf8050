/* SPDX-License-Identifier: MIT
 *
 * The entries of a directory as the image lists them: the tree's children with `.` and `..` in their sorted places and,
 * in the root, the 256 stubs `00`..`ff` (where the tree has no such name).
 */
#ifndef PN_EROFS_DIR_WALK_H
#define PN_EROFS_DIR_WALK_H

#include "../composefs/hex.h"
#include "../composefs/sort.h"
#include "plan.h"

enum pn_entry_kind { PN_ENTRY_CHILD, PN_ENTRY_SELF, PN_ENTRY_PARENT, PN_ENTRY_STUB };

struct pn_dir_entry {
    const uint8_t *name;
    uint32_t size;
    uint32_t which; /* node of a child, number of a stub */
    enum pn_entry_kind kind;
};

struct pn_dir_walk {
    const struct pn_node *nodes;
    const uint32_t *at, *end;
    uint32_t dots; /* how many of `.` and `..` are behind us */
    uint32_t stub; /* next stub; PN_STUBS: no more */
    uint8_t stub_name[2];
};

static inline struct pn_dir_walk pn_dir_walk_start(const struct pn_tree *tree, uint32_t directory)
{
    const struct pn_node *node = &tree->nodes[directory];
    const uint32_t *first = tree->children + node->children.first;
    return (struct pn_dir_walk){
        .nodes = tree->nodes, .at = first, .end = first + node->children.count, .stub = directory == 0 ? 0 : PN_STUBS};
}

static inline int pn_dir_walk_next(struct pn_dir_walk *walk, struct pn_dir_entry *entry)
{
    const struct pn_node *child = walk->at < walk->end ? &walk->nodes[*walk->at] : NULL;
    if (walk->dots < 2) {
        /* No stub sorts before the dots. */
        if (!child || pn_bytes_compare((const uint8_t *)"..", walk->dots + 1, child->name, child->name_size) < 0) {
            entry->name = (const uint8_t *)"..";
            entry->size = walk->dots + 1;
            entry->kind = walk->dots++ ? PN_ENTRY_PARENT : PN_ENTRY_SELF;
            return 1;
        }
    } else if (walk->stub < PN_STUBS) {
        const uint8_t number = (uint8_t)walk->stub;
        pn_hex_encode(walk->stub_name, &number, 1);
        int order = child ? pn_bytes_compare(walk->stub_name, 2, child->name, child->name_size) : -1;
        if (order <= 0)
            walk->stub++;
        if (order < 0) {
            entry->name = walk->stub_name;
            entry->size = 2;
            entry->which = walk->stub - 1;
            entry->kind = PN_ENTRY_STUB;
            return 1;
        }
    }
    if (!child)
        return 0;
    entry->name = child->name;
    entry->size = child->name_size;
    entry->which = *walk->at++;
    entry->kind = PN_ENTRY_CHILD;
    return 1;
}

#endif
