/* SPDX-License-Identifier: MIT
 *
 * A stable merge sort of ids by an 8-byte key, with a callback only where keys are equal: names differ early, so most
 * comparisons touch neither node nor string. Input that is already sorted costs one pass. n log n for any input.
 */
#ifndef PN_COMPOSEFS_SORT_H
#define PN_COMPOSEFS_SORT_H

#include <stdint.h>
#include <string.h>

struct pn_sort_item {
    uint64_t key;
    uint32_t id;
    uint32_t extra; /* for the caller: the place in the input, a tag */
};

typedef int pn_sort_compare(const void *context, const struct pn_sort_item *left, const struct pn_sort_item *right);

/* `scratch` is as large as `items`; the result is in `items`. */
void pn_sort(struct pn_sort_item *items, struct pn_sort_item *scratch, uint32_t count, pn_sort_compare *compare,
             const void *context);

/* The first eight bytes as a number that orders like the bytes; shorter strings are filled with zeros. */
static inline uint64_t pn_sort_key(const uint8_t *bytes, uint32_t size)
{
    uint64_t key = 0;
    for (uint32_t i = 0; i < 8; i++)
        key = key << 8 | (i < size ? bytes[i] : 0);
    return key;
}

/* The order of strcmp for strings without NUL. */
static inline int pn_bytes_compare(const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

#endif
