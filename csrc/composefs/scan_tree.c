/* SPDX-License-Identifier: MIT
 *
 * The records of a scan as a tree. Entries are visited depth first in byte order, whatever order the filesystem listed
 * them in, so that of several names of one inode the same one becomes the file and the others its links.
 */
#include "scan.h"

#include "failure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where to go on in a directory once its sub-directory is done. */
struct place {
    const struct pn_scan_directory *directory;
    uint32_t node, next;
};

struct inode_key {
    uint64_t device, inode;
    uint32_t node; /* + 1; 0 is an empty slot */
};

struct inode_map {
    struct pn_hash_key key;
    struct inode_key *slots;
    size_t mask, used;
};

static int by_name(const void *left, const void *right)
{
    const struct pn_scan_entry *a = left, *b = right;
    return strcmp(a->name, b->name); /* glibc compares unsigned bytes */
}

static size_t slot_of(const struct inode_map *map, uint64_t device, uint64_t inode)
{
    const uint64_t words[2] = {device, inode}; /* a filesystem in user space numbers its inodes as it likes */
    size_t slot = pn_hash_bytes(map->key, 0, (const uint8_t *)words, sizeof(words)) & map->mask;
    while (map->slots[slot].node && (map->slots[slot].inode != inode || map->slots[slot].device != device))
        slot = (slot + 1) & map->mask;
    return slot;
}

static int grow(struct inode_map *map)
{
    struct inode_map bigger = {.key = map->key, .mask = map->mask ? map->mask * 2 + 1 : 255};
    bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
    if (!bigger.slots)
        return -ENOMEM;
    for (size_t i = 0; map->slots && i <= map->mask; i++)
        if (map->slots[i].node)
            bigger.slots[slot_of(&bigger, map->slots[i].device, map->slots[i].inode)] = map->slots[i];
    bigger.used = map->used;
    free(map->slots);
    *map = bigger;
    return 0;
}

static int add_details(struct pn_tree *tree, uint32_t node, const struct pn_scan_entry *entry)
{
    int error = 0;
    if (S_ISLNK(entry->info.mode))
        error = pn_tree_set_target(tree, node, entry->data, entry->data_size);
    else if (S_ISREG(entry->info.mode) && entry->info.size > PN_INLINE_MAX)
        error = pn_tree_set_object(tree, node, entry->digest, entry->digest);
    else if (S_ISREG(entry->info.mode) && entry->info.size)
        error = pn_tree_set_content(tree, node, entry->data, entry->data_size);
    if (!error && entry->xattr_count)
        error = pn_tree_set_xattrs(tree, node, entry->xattrs, entry->xattr_count);
    return error;
}

static int add_entry(struct pn_tree *tree, struct inode_map *map, uint32_t parent, const struct pn_scan_entry *entry,
                     uint32_t *node)
{
    const uint8_t *name = (const uint8_t *)entry->name;
    size_t slot = 0;
    if (entry->inode) {
        if (2 * map->used >= map->mask && grow(map))
            return -ENOMEM;
        slot = slot_of(map, entry->device, entry->inode);
        if (map->slots[slot].node) {
            uint32_t first = map->slots[slot].node - 1;
            int error = pn_tree_add_link(tree, parent, name, entry->name_size, entry->info.mode, node);
            if (!error) {
                pn_tree_set_link(tree, *node, first);
                tree->nodes[first].nlink++;
            }
            return error;
        }
    }
    int error = pn_tree_add(tree, parent, name, entry->name_size, &entry->info, node);
    if (!error && entry->inode) {
        map->slots[slot] = (struct inode_key){.device = entry->device, .inode = entry->inode, .node = *node + 1};
        map->used++;
    }
    return error ? error : add_details(tree, *node, entry);
}

static int push(struct place **stack, uint32_t *room, uint32_t depth, const struct pn_scan_directory *directory,
                uint32_t node)
{
    int error = pn_array_reserve((void **)stack, room, (uint64_t)depth + 1, sizeof(**stack));
    if (error)
        return error;
    if (directory->count)
        qsort(directory->entries, directory->count, sizeof(*directory->entries), by_name);
    (*stack)[depth] = (struct place){.directory = directory, .node = node};
    return 0;
}

/* Everything else that can go wrong with a record is memory. */
static int refuse_entry(struct pn_scan *scan, const struct place *place, const struct pn_scan_entry *entry, int error)
{
    if (error != -ERANGE)
        return error;
    const char *path = place ? place->directory->path : "";
    return pn_refuse(scan->failure, error, 0, "composefs.xattr-size", "%.80s%s%.80s: the attributes are too large",
                     path, *path ? "/" : "", entry->name ? entry->name : ".");
}

static int add_all(struct pn_scan *scan, struct pn_tree *tree, struct inode_map *map, struct place **stack)
{
    uint32_t depth = 0, room = 0, node;
    int error = pn_tree_add(tree, PN_NONE, NULL, 0, &scan->root_entry.info, &node);
    if (!error)
        error = refuse_entry(scan, NULL, &scan->root_entry, add_details(tree, node, &scan->root_entry));
    if (!error)
        error = push(stack, &room, depth++, scan->root, node);
    while (!error && depth) {
        struct place *place = &(*stack)[depth - 1];
        if (place->next == place->directory->count) {
            depth--;
            continue;
        }
        const struct pn_scan_entry *entry = &place->directory->entries[place->next++];
        if (entry->skipped)
            continue;
        error = refuse_entry(scan, place, entry, add_entry(tree, map, place->node, entry, &node));
        if (!error && entry->directory)
            error = push(stack, &room, depth++, entry->directory, node);
    }
    return error;
}

int pn_scan_to_tree(struct pn_scan *scan, struct pn_tree **out)
{
    struct pn_tree *tree = pn_tree_new(1);
    struct place *stack = NULL;
    if (!tree)
        return -ENOMEM;
    struct inode_map map = {.key = tree->xattrs.key};
    int error = add_all(scan, tree, &map, &stack);
    free(stack);
    free(map.slots);
    if (!error)
        error = pn_tree_finish(tree, scan->failure);
    if (!error)
        error = pn_tree_check_links(tree, scan->failure);
    if (error)
        pn_tree_free(tree);
    else
        *out = tree;
    return error;
}
