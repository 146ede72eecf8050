/* SPDX-License-Identifier: MIT */
#include "sort.h"

static inline int in_order(const struct pn_sort_item *left, const struct pn_sort_item *right, pn_sort_compare *compare,
                           const void *context)
{
    if (left->key != right->key)
        return left->key < right->key;
    return compare(context, left, right) <= 0;
}

void pn_sort(struct pn_sort_item *items, struct pn_sort_item *scratch, uint32_t count, pn_sort_compare *compare,
             const void *context)
{
    uint32_t i = 1;
    while (i < count && in_order(&items[i - 1], &items[i], compare, context))
        i++;
    if (i >= count)
        return;

    /* Short runs by insertion, then merged bottom up; no recursion. */
    enum { RUN = 8 };
    for (uint64_t start = 0; start < count; start += RUN) {
        uint64_t end = start + RUN < count ? start + RUN : count;
        for (uint64_t k = start + 1; k < end; k++) {
            struct pn_sort_item item = items[k];
            uint64_t to = k;
            while (to > start && !in_order(&items[to - 1], &item, compare, context)) {
                items[to] = items[to - 1];
                to--;
            }
            items[to] = item;
        }
    }
    struct pn_sort_item *from = items, *to = scratch;
    for (uint64_t width = RUN; width < count; width *= 2) {
        for (uint64_t start = 0; start < count; start += 2 * width) {
            uint64_t middle = start + width < count ? start + width : count;
            uint64_t end = start + 2 * width < count ? start + 2 * width : count;
            uint64_t left = start, right = middle, out = start;
            while (left < middle && right < end)
                to[out++] = in_order(&from[left], &from[right], compare, context) ? from[left++] : from[right++];
            while (left < middle)
                to[out++] = from[left++];
            while (right < end)
                to[out++] = from[right++];
        }
        struct pn_sort_item *swap = from;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, (size_t)count * sizeof(*items));
}
