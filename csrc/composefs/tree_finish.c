/* SPDX-License-Identifier: MIT
 *
 * From a list of nodes with parents to a tree: the children of every directory as a sorted range, found by name, and
 * hard links that lead to their inode in one step.
 */
#include "tree.h"

#include "failure.h"
#include "sort.h"

static int by_node_name(const void *context, const struct pn_sort_item *left, const struct pn_sort_item *right)
{
    const struct pn_node *nodes = ((const struct pn_tree *)context)->nodes;
    const struct pn_node *a = &nodes[left->id], *b = &nodes[right->id];
    return pn_bytes_compare(a->name, a->name_size, b->name, b->name_size);
}

/* Counts, then places: the ranges are disjoint and children keep the order in which they came. */
static uint32_t place_children(struct pn_tree *tree)
{
    uint32_t next = 0, largest = 0;
    for (uint32_t i = 1; i < tree->count; i++)
        tree->nodes[tree->nodes[i].parent].children.count++;
    for (uint32_t i = 0; i < tree->count; i++) {
        struct pn_node *node = &tree->nodes[i];
        if (!pn_node_is_directory(node))
            continue;
        node->children.first = next;
        next += node->children.count;
        if (node->children.count > largest)
            largest = node->children.count;
        node->children.count = 0;
    }
    for (uint32_t i = 1; i < tree->count; i++) {
        struct pn_node *parent = &tree->nodes[tree->nodes[i].parent];
        tree->children[parent->children.first + parent->children.count++] = i;
    }
    return largest;
}

static int sort_children(struct pn_tree *tree, const struct pn_node *directory, struct pn_sort_item *items,
                         uint32_t room, struct pn_failure *failure)
{
    uint32_t *children = tree->children + directory->children.first;
    uint32_t count = directory->children.count;
    for (uint32_t i = 0; i < count; i++) {
        const struct pn_node *child = &tree->nodes[children[i]];
        items[i] = (struct pn_sort_item){.key = pn_sort_key(child->name, child->name_size), .id = children[i]};
    }
    pn_sort(items, items + room, count, by_node_name, tree);
    for (uint32_t i = 0; i < count; i++) {
        children[i] = items[i].id;
        if (i && items[i].key == items[i - 1].key && by_node_name(tree, &items[i - 1], &items[i]) == 0)
            return pn_refuse(failure, -EEXIST, (uint64_t)items[i].id + 1, "dump.name-duplicate",
                             "expected every path once, found the path of entry %u again", items[i - 1].id + 1);
    }
    return 0;
}

int pn_tree_finish(struct pn_tree *tree, struct pn_failure *failure)
{
    if (tree->finished || !tree->count)
        return pn_refuse(failure, -EINVAL, 0, "dump.empty", "expected a root directory, found nothing");
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct pn_node *node = &tree->nodes[i];
        if (pn_node_is_external(node) && node->size > PN_FILE_SIZE_MAX)
            return pn_refuse(failure, -EFBIG, (uint64_t)i + 1, "dump.file-size",
                             "expected a file of at most 2^53 bytes, found %llu", (unsigned long long)node->size);
        if (pn_node_is(node, S_IFLNK) && !node->data && !(node->flags & PN_NODE_LINK))
            return pn_refuse(failure, -EINVAL, (uint64_t)i + 1, "dump.symlink-empty",
                             "expected a symlink target, found none");
    }
    tree->children = malloc((size_t)tree->count * sizeof(*tree->children));
    if (!tree->children)
        return -ENOMEM;
    uint32_t room = place_children(tree);
    struct pn_sort_item *items = malloc(2 * (size_t)(room ? room : 1) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    int error = 0;
    for (uint32_t i = 0; i < tree->count && !error; i++)
        if (pn_node_is_directory(&tree->nodes[i]))
            error = sort_children(tree, &tree->nodes[i], items, room, failure);
    free(items);
    tree->finished = !error;
    return error;
}

uint32_t pn_tree_find(const struct pn_tree *tree, uint32_t directory, const uint8_t *name, uint32_t name_size)
{
    const struct pn_node *node = &tree->nodes[directory];
    if (!pn_node_is_directory(node))
        return PN_NONE;
    const uint32_t *children = tree->children + node->children.first;
    uint32_t low = 0, high = node->children.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct pn_node *child = &tree->nodes[children[middle]];
        int order = pn_bytes_compare(name, name_size, child->name, child->name_size);
        if (!order)
            return children[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return PN_NONE;
}

/* Follows the chain once to its end and once more to shorten it. A chain can be no longer than the tree has nodes, and
 * shortened links make the whole pass linear. A circle is seen when the chain meets its start or an own step again:
 * such a walk would pass more links than exist. */
static int resolve(struct pn_tree *tree, uint32_t start, uint32_t limit, struct pn_failure *failure)
{
    uint32_t end = start, steps = 0;
    while (tree->nodes[end].flags & PN_NODE_LINK) {
        uint32_t target = tree->nodes[end].link;
        if (target >= tree->count)
            return pn_refuse(failure, -ENOENT, (uint64_t)start + 1, "dump.hardlink-missing",
                             "expected an existing path as hard link target, found none");
        if (target == start && steps == 0)
            return pn_refuse(failure, -ELOOP, (uint64_t)start + 1, "dump.hardlink-self",
                             "expected another path as hard link target, found the link itself");
        if (++steps > limit)
            return pn_refuse(failure, -ELOOP, (uint64_t)start + 1, "dump.hardlink-cycle",
                             "expected hard links that lead to a file, found links in a circle");
        end = target;
    }
    if (pn_node_is_directory(&tree->nodes[end]))
        return pn_refuse(failure, -EPERM, (uint64_t)start + 1, "dump.hardlink-to-directory",
                         "expected a file as hard link target, found a directory");
    for (uint32_t at = start; at != end;) {
        uint32_t next = tree->nodes[at].link;
        tree->nodes[at].link = end;
        at = next;
    }
    return 0;
}

int pn_tree_check_links(struct pn_tree *tree, struct pn_failure *failure)
{
    uint32_t links = 0;
    for (uint32_t i = 0; i < tree->count; i++)
        links += (tree->nodes[i].flags & PN_NODE_LINK) != 0;
    for (uint32_t i = 0; i < tree->count && links; i++) {
        if (!(tree->nodes[i].flags & PN_NODE_LINK))
            continue;
        int error = resolve(tree, i, links, failure);
        if (error)
            return error;
    }
    return 0;
}
