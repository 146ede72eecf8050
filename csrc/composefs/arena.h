/* SPDX-License-Identifier: MIT
 *
 * Bytes that live as long as their tree: strings are appended to large chunks and freed together. Growing arrays too.
 */
#ifndef PN_COMPOSEFS_ARENA_H
#define PN_COMPOSEFS_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct pn_arena {
    struct pn_arena_chunk *chunks; /* newest first */
    size_t left;                   /* unused bytes at the end of the newest */
};

/* Room for `size` bytes without alignment, or NULL. */
uint8_t *pn_arena_take(struct pn_arena *arena, size_t size);
const uint8_t *pn_arena_copy(struct pn_arena *arena, const uint8_t *bytes, size_t size);
void pn_arena_free(struct pn_arena *arena);

/* Makes `*array` hold at least `need` elements of `element` bytes; `*capacity` counts elements, at most 2^32 - 2. */
int pn_array_reserve(void **array, uint32_t *capacity, uint64_t need, size_t element);

#endif
