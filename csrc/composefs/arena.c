/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PN_ARENA_CHUNK_MIN ((size_t)16 << 10)
#define PN_ARENA_CHUNK_MAX ((size_t)1 << 20)

struct pn_arena_chunk {
    struct pn_arena_chunk *older;
    size_t size;
    uint8_t bytes[];
};

uint8_t *pn_arena_take(struct pn_arena *arena, size_t size)
{
    if (size > arena->left) {
        size_t room = arena->chunks ? arena->chunks->size * 2 : PN_ARENA_CHUNK_MIN;
        if (room > PN_ARENA_CHUNK_MAX)
            room = PN_ARENA_CHUNK_MAX;
        if (room < size)
            room = size;
        if (room > SIZE_MAX - sizeof(struct pn_arena_chunk))
            return NULL;
        struct pn_arena_chunk *chunk = malloc(sizeof(*chunk) + room);
        if (!chunk)
            return NULL;
        chunk->older = arena->chunks;
        chunk->size = room;
        arena->chunks = chunk;
        arena->left = room;
    }
    uint8_t *start = arena->chunks ? arena->chunks->bytes + (arena->chunks->size - arena->left) : NULL;
    arena->left -= size;
    return start;
}

const uint8_t *pn_arena_copy(struct pn_arena *arena, const uint8_t *bytes, size_t size)
{
    /* One byte is taken even for an empty string, so that NULL always means "no memory". */
    uint8_t *copy = pn_arena_take(arena, size ? size : 1);
    if (copy && size)
        memcpy(copy, bytes, size);
    return copy;
}

void pn_arena_free(struct pn_arena *arena)
{
    struct pn_arena_chunk *chunk = arena->chunks;
    while (chunk) {
        struct pn_arena_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
    *arena = (struct pn_arena){0};
}

int pn_array_reserve(void **array, uint32_t *capacity, uint64_t need, size_t element)
{
    if (need <= *capacity)
        return 0;
    if (need >= UINT32_MAX)
        return -EOVERFLOW;
    uint64_t room = *capacity < 16 ? 16 : (uint64_t)*capacity + *capacity / 2;
    if (room < need)
        room = need;
    if (room > UINT32_MAX - 1)
        room = UINT32_MAX - 1;
    if (room > SIZE_MAX / element)
        return -ENOMEM;
    void *grown = realloc(*array, (size_t)room * element);
    if (!grown)
        return -ENOMEM;
    *array = grown;
    *capacity = (uint32_t)room;
    return 0;
}
