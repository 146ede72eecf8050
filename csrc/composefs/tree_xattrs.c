/* SPDX-License-Identifier: MIT
 *
 * The attributes of one node: interned, without duplicates, sorted, and within the limit of an inode.
 *
 * The limit is checked the way a reader that sets one attribute after the other would meet it: replacing a long value
 * by a short one frees room, but what went over the limit on the way is refused.
 */
#include "tree.h"

#include "sort.h"

enum { SMALL = 16 };

static int by_name(const void *context, const struct pn_sort_item *left, const struct pn_sort_item *right)
{
    const struct pn_tree *tree = context;
    return pn_xattr_name_order(&tree->xattrs, left->id, right->id);
}

static int64_t cost(const struct pn_tree *tree, uint32_t id)
{
    const struct pn_xattr *pair = &tree->xattrs.pairs[id];
    return (int64_t)PN_XATTR_ENTRY_COST + tree->xattrs.names[pair->name].size + pair->value_size;
}

static int intern_all(struct pn_tree *tree, const struct pn_xattr_input *list, uint32_t count,
                      struct pn_sort_item *items, int64_t *costs)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id;
        if (memchr(list[i].name, 0, list[i].name_size))
            return -EINVAL;
        int error = pn_xattr_intern(&tree->xattrs, &list[i], 0, !tree->borrow, &id);
        if (error)
            return error;
        items[i] = (struct pn_sort_item){.id = id, .extra = i};
        costs[i] = cost(tree, id);
    }
    return 0;
}

/* Keeps the last of equal names (the sort is stable) and turns costs[] into what each step adds. */
static uint32_t drop_replaced(const struct pn_tree *tree, struct pn_sort_item *items, uint32_t count, int64_t *costs)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept && by_name(tree, &items[kept - 1], &items[i]) == 0) {
            costs[items[i].extra] -= cost(tree, items[kept - 1].id);
            items[kept - 1] = items[i];
        } else {
            items[kept++] = items[i];
        }
    }
    return kept;
}

static int set_sorted(struct pn_tree *tree, struct pn_node *node, struct pn_sort_item *items,
                      struct pn_sort_item *scratch, int64_t *costs, uint32_t count)
{
    pn_sort(items, scratch, count, by_name, tree);
    uint32_t kept = drop_replaced(tree, items, count, costs);
    int64_t total = PN_XATTR_HEADER_COST;
    for (uint32_t i = 0; i < count; i++) {
        total += costs[i];
        if (total > PN_XATTR_TOTAL_MAX)
            return -ERANGE;
    }
    int error = pn_array_reserve((void **)&tree->xattr_ids, &tree->xattr_id_room, (uint64_t)tree->xattr_id_count + kept,
                                 sizeof(*tree->xattr_ids));
    if (error)
        return error;
    node->xattr_first = tree->xattr_id_count;
    node->xattr_count = (uint16_t)kept; /* the limit keeps it far below 2^16 */
    for (uint32_t i = 0; i < kept; i++)
        tree->xattr_ids[tree->xattr_id_count++] = items[i].id;
    return 0;
}

int pn_tree_set_xattrs(struct pn_tree *tree, uint32_t index, const struct pn_xattr_input *list, uint32_t count)
{
    struct pn_node *node = &tree->nodes[index];
    struct pn_sort_item small[2 * SMALL];
    int64_t small_costs[SMALL];
    struct pn_sort_item *items = small;
    int64_t *costs = small_costs;
    int error = 0;

    if (node->xattr_count || (node->flags & PN_NODE_LINK))
        return -EINVAL;
    if (!count)
        return 0;
    if (count > SMALL) {
        items = calloc(count, 2 * sizeof(*items));
        costs = calloc(count, sizeof(*costs));
        if (!items || !costs)
            error = -ENOMEM;
    }
    if (!error)
        error = intern_all(tree, list, count, items, costs);
    if (!error)
        error = set_sorted(tree, node, items, items + (count > SMALL ? count : SMALL), costs, count);
    if (items != small)
        free(items);
    if (costs != small_costs)
        free(costs);
    return error;
}
