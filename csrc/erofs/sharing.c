/* SPDX-License-Identifier: MIT
 *
 * The shared attribute table: every (name, value) that more than one inode carries, stored once. The table is ordered
 * descending by written name, then by length of the value, then by its bytes.
 */
#include "../composefs/sort.h"
#include "plan.h"
#include "xattr_entry.h"

uint32_t pn_image_plan_refs(const struct pn_image_plan *plan, const struct pn_inode *inode)
{
    const struct pn_xattr_table *table = &plan->tree->xattrs;
    uint32_t *refs = plan->refs, count = 0, i = 0;
    int implied = inode->flags & (PN_INODE_METACOPY | PN_INODE_REDIRECT);
    if (!inode->xattr_count && !implied)
        return 0;
    const uint32_t *ids = inode->flags & PN_INODE_EXTRA_XATTRS ? plan->extra_ids : plan->tree->xattr_ids;
    if (inode->xattr_count)
        ids += inode->xattr_first;
    if (!implied) {
        memcpy(refs, ids, inode->xattr_count * sizeof(*refs));
        return inode->xattr_count;
    }
    const struct pn_node *node = &plan->tree->nodes[inode->node];
    while (i < inode->xattr_count && table->names[table->pairs[ids[i]].name].rank <= PN_RANK_METACOPY)
        refs[count++] = ids[i++];
    if (inode->flags & PN_INODE_METACOPY)
        refs[count++] = PN_REF_METACOPY | node->object.digest;
    while (i < inode->xattr_count && table->names[table->pairs[ids[i]].name].rank <= PN_RANK_REDIRECT)
        refs[count++] = ids[i++];
    if (inode->flags & PN_INODE_REDIRECT)
        refs[count++] = PN_REF_REDIRECT | node->object.payload;
    while (i < inode->xattr_count)
        refs[count++] = ids[i++];
    return count;
}

/* The written name as (rank, bytes): with equal rank the unescaped bytes order the same way. */
static int name_order(const struct pn_image_plan *plan, uint32_t left, uint32_t right)
{
    static const struct pn_xattr_name metacopy = {
        .bytes = (const uint8_t *)"trusted.overlay.metacopy", .size = 24, .rank = PN_RANK_METACOPY, .raw = 1};
    static const struct pn_xattr_name redirect = {
        .bytes = (const uint8_t *)"trusted.overlay.redirect", .size = 24, .rank = PN_RANK_REDIRECT, .raw = 1};
    const struct pn_xattr_table *table = &plan->tree->xattrs;
    const struct pn_xattr_name *names[2];
    uint32_t refs[2] = {left, right};
    for (int i = 0; i < 2; i++) {
        uint32_t kind = refs[i] & PN_REF_KIND;
        names[i] = kind == PN_REF_METACOPY   ? &metacopy
                   : kind == PN_REF_REDIRECT ? &redirect
                                             : &table->names[table->pairs[refs[i]].name];
    }
    if (names[0]->rank != names[1]->rank)
        return names[0]->rank < names[1]->rank ? -1 : 1;
    return pn_bytes_compare(names[0]->bytes, names[0]->size, names[1]->bytes, names[1]->size);
}

static int descending(const void *context, const struct pn_sort_item *left, const struct pn_sort_item *right)
{
    const struct pn_image_plan *plan = context;
    uint8_t rooms[2][PN_REDIRECT_SIZE];
    uint32_t sizes[2];
    int order = name_order(plan, right->id, left->id);
    if (order)
        return order;
    const uint8_t *a = pn_xattr_value(plan, left->id, rooms[0], &sizes[0]);
    const uint8_t *b = pn_xattr_value(plan, right->id, rooms[1], &sizes[1]);
    if (sizes[0] != sizes[1])
        return sizes[0] > sizes[1] ? -1 : 1;
    return sizes[0] ? memcmp(b, a, sizes[0]) : 0;
}

/* From counts to the refs that are shared; counts of the others become PN_NONE. */
static uint32_t collect(uint32_t *counts, uint32_t size, uint32_t kind, struct pn_sort_item *items)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < size; i++) {
        if (counts[i] > 1) {
            if (items)
                items[found] = (struct pn_sort_item){.id = kind | i};
            found++;
        } else if (items) {
            counts[i] = PN_NONE;
        }
    }
    return found;
}

static int order_shared(struct pn_image_plan *plan)
{
    const struct pn_xattr_table *table = &plan->tree->xattrs;
    uint32_t total = collect(plan->pair_shared, table->pair_count, PN_REF_PAIR, NULL) +
                     collect(plan->metacopy_shared, table->object_count, PN_REF_METACOPY, NULL) +
                     collect(plan->redirect_shared, table->object_count, PN_REF_REDIRECT, NULL);
    struct pn_sort_item *items = malloc(2 * ((size_t)total + 1) * sizeof(*items));
    plan->shared = malloc(((size_t)total + 1) * sizeof(*plan->shared));
    if (!items || !plan->shared) {
        free(items);
        return -ENOMEM;
    }
    uint32_t count = collect(plan->pair_shared, table->pair_count, PN_REF_PAIR, items);
    count += collect(plan->metacopy_shared, table->object_count, PN_REF_METACOPY, items + count);
    count += collect(plan->redirect_shared, table->object_count, PN_REF_REDIRECT, items + count);
    pn_sort(items, items + total + 1, count, descending, plan);

    uint64_t offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        plan->shared[i] = items[i].id;
        /* An index into the table is 32 bits of 4-byte units; PN_NONE stays free as a mark. */
        if (offset / 4 >= PN_NONE - PN_EROFS_BLOCK) {
            free(items);
            return -EFBIG;
        }
        *pn_image_plan_shared_slot(plan, items[i].id) = (uint32_t)(offset / 4);
        offset += pn_xattr_entry_size(plan, items[i].id);
    }
    free(items);
    plan->shared_count = count;
    plan->shared_bytes = offset;
    return 0;
}

static int filter_bits(struct pn_image_plan *plan)
{
    const struct pn_xattr_table *table = &plan->tree->xattrs;
    uint8_t text[PN_XATTR_SUFFIX_MAX + sizeof(PN_XATTR_INSERT)];
    plan->name_bits = malloc((size_t)table->name_count + 1);
    if (!plan->name_bits)
        return -ENOMEM;
    for (uint32_t i = 0; i < table->name_count; i++) {
        struct pn_xattr_suffix suffix = pn_xattr_suffix(&table->names[i]);
        memcpy(text, PN_XATTR_INSERT, suffix.insert_size);
        memcpy(text + suffix.insert_size, suffix.bytes, suffix.size);
        plan->name_bits[i] = pn_xattr_filter_bit(suffix.index, text, suffix.insert_size + suffix.size);
    }
    plan->metacopy_bit = pn_xattr_filter_bit(PN_EROFS_XATTR_INDEX_TRUSTED, (const uint8_t *)"overlay.metacopy", 16);
    plan->redirect_bit = pn_xattr_filter_bit(PN_EROFS_XATTR_INDEX_TRUSTED, (const uint8_t *)"overlay.redirect", 16);
    return 0;
}

int pn_image_plan_sharing(struct pn_image_plan *plan)
{
    const struct pn_xattr_table *table = &plan->tree->xattrs;
    uint32_t most = 0;
    if (table->pair_count > PN_REF_ID || table->object_count > PN_REF_ID)
        return -EOVERFLOW;
    plan->pair_shared = calloc((size_t)table->pair_count + 1, sizeof(uint32_t));
    plan->metacopy_shared = calloc((size_t)table->object_count + 1, sizeof(uint32_t));
    plan->redirect_shared = calloc((size_t)table->object_count + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < plan->inode_count; i++)
        if (plan->inodes[i].xattr_count > most)
            most = plan->inodes[i].xattr_count;
    plan->refs = malloc(((size_t)most + 2) * sizeof(*plan->refs)); /* two more: metacopy and redirect */
    if (!plan->pair_shared || !plan->metacopy_shared || !plan->redirect_shared || !plan->refs)
        return -ENOMEM;
    for (uint32_t i = 0; i < plan->inode_count; i++) {
        uint32_t count = pn_image_plan_refs(plan, &plan->inodes[i]);
        for (uint32_t k = 0; k < count; k++)
            (*pn_image_plan_shared_slot(plan, plan->refs[k]))++;
    }
    int error = order_shared(plan);
    return error ? error : filter_bits(plan);
}

void pn_image_plan_free(struct pn_image_plan *plan)
{
    free(plan->inodes);
    free(plan->inode_of);
    free(plan->extra_ids);
    free(plan->refs);
    free(plan->pair_shared);
    free(plan->metacopy_shared);
    free(plan->redirect_shared);
    free(plan->shared);
    free(plan->name_bits);
    *plan = (struct pn_image_plan){0};
}
