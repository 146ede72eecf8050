/* SPDX-License-Identifier: MIT
 *
 * The three texts about an image. Each printer walks an opened view to its end.
 */
#ifndef PN_COMPOSEFS_PRINT_H
#define PN_COMPOSEFS_PRINT_H

#include <stdint.h>

#include "print_text.h"
#include "view.h"

/* The escaped path of the entry at hand, kept up to date from entry to entry: only the last name is ever new. */
struct pn_path {
    uint8_t *data;
    uint64_t size;
    uint64_t capacity;
    uint64_t *lengths; /* of the path of the directory at each depth */
    uint64_t depth_capacity;
};

/* Replaces the path by that of `entry`, which must come from a walk in order. The root's is empty. */
int32_t pn_path_follow(struct pn_path *path, const struct pn_view_entry *entry, enum pn_escape escape,
                       struct pn_failure *failure);
void pn_path_free(struct pn_path *path);

int32_t pn_print_dump(struct pn_view *view, struct pn_text *text);
int32_t pn_print_ls(struct pn_view *view, struct pn_text *text);
int32_t pn_print_objects(struct pn_view *view, struct pn_text *text);

#endif
