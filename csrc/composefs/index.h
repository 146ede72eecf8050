/* SPDX-License-Identifier: MIT
 *
 * An open-addressing table from a 32-bit hash to a 32-bit id. The caller keeps the things themselves and compares them;
 * the table only narrows the search, so one implementation serves names, values, digests and paths.
 *
 * The hash is keyed by addresses of this process: dump text comes from strangers, and with a fixed hash they could
 * choose names that all fall into one slot. The key never reaches any output.
 */
#ifndef PN_COMPOSEFS_INDEX_H
#define PN_COMPOSEFS_INDEX_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PN_NONE UINT32_MAX

struct pn_index {
    uint64_t *slots; /* hash << 32 | id + 1; 0 is empty */
    uint32_t mask;
    uint32_t used;
};

struct pn_hash_key {
    uint64_t a, b;
};

__extension__ typedef unsigned __int128 pn_u128;

static inline uint64_t pn_hash_mix(uint64_t x, uint64_t y)
{
    pn_u128 product = (pn_u128)x * y;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline struct pn_hash_key pn_hash_key_make(const void *heap)
{
    int here;
    uint64_t a = pn_hash_mix((uint64_t)(uintptr_t)heap ^ 0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u);
    uint64_t b = pn_hash_mix((uint64_t)(uintptr_t)&here ^ 0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu ^ a);
    return (struct pn_hash_key){.a = a, .b = b | 1};
}

static inline uint32_t pn_hash_bytes(struct pn_hash_key key, uint64_t start, const uint8_t *bytes, size_t size)
{
    uint64_t hash = pn_hash_mix(start ^ key.a, (uint64_t)size ^ key.b);
    uint64_t word;
    while (size >= 8) {
        memcpy(&word, bytes, 8);
        hash = pn_hash_mix(hash ^ word ^ key.a, key.b);
        bytes += 8;
        size -= 8;
    }
    if (size) {
        word = 0;
        memcpy(&word, bytes, size);
        hash = pn_hash_mix(hash ^ word ^ key.b, key.a | 1);
    }
    hash = pn_hash_mix(hash ^ key.b, key.a | 1);
    return (uint32_t)(hash ^ hash >> 32);
}

/* Walk the candidates of `hash`:  for (at = pn_index_start(..); pn_index_next(.., &at, &id); ) compare id */
static inline uint32_t pn_index_start(const struct pn_index *index, uint32_t hash)
{
    return hash & index->mask;
}

static inline int pn_index_next(const struct pn_index *index, uint32_t hash, uint32_t *at, uint32_t *id)
{
    if (!index->slots)
        return 0;
    for (;;) {
        uint64_t slot = index->slots[*at];
        if (!slot)
            return 0;
        *at = (*at + 1) & index->mask;
        if ((uint32_t)(slot >> 32) == hash) {
            *id = (uint32_t)slot - 1;
            return 1;
        }
    }
}

/* `size` slots, a power of two that is more than are in use. */
static inline int pn_index_resize(struct pn_index *index, uint64_t size)
{
    if (size > (uint64_t)UINT32_MAX + 1 || size > SIZE_MAX / sizeof(uint64_t))
        return -EOVERFLOW;
    uint64_t *slots = calloc((size_t)size, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    uint32_t mask = (uint32_t)(size - 1);
    for (uint64_t i = 0; index->slots && i <= index->mask; i++) {
        uint64_t slot = index->slots[i];
        if (!slot)
            continue;
        uint32_t at = (uint32_t)(slot >> 32) & mask;
        while (slots[at])
            at = (at + 1) & mask;
        slots[at] = slot;
    }
    free(index->slots);
    index->slots = slots;
    index->mask = mask;
    return 0;
}

/* Room for about `count` ids without growing in between; only a hint, so a failure is no error. */
static inline void pn_index_expect(struct pn_index *index, uint64_t count)
{
    uint64_t size = 256;
    while (size < 2 * count && size < (uint64_t)1 << 24)
        size *= 2;
    if (!index->slots)
        (void)pn_index_resize(index, size);
}

/* The caller has looked and knows that the thing is new. `id` must not be PN_NONE. */
static inline int pn_index_add(struct pn_index *index, uint32_t hash, uint32_t id)
{
    if (!index->slots || index->used >= index->mask / 2 + 1) {
        int error = pn_index_resize(index, index->slots ? ((uint64_t)index->mask + 1) * 2 : 256);
        if (error)
            return error;
    }
    uint32_t at = hash & index->mask;
    while (index->slots[at])
        at = (at + 1) & index->mask;
    index->slots[at] = (uint64_t)hash << 32 | (uint64_t)(id + 1);
    index->used++;
    return 0;
}

static inline void pn_index_free(struct pn_index *index)
{
    free(index->slots);
    *index = (struct pn_index){0};
}

#endif
