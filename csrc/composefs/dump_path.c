/* SPDX-License-Identifier: MIT */
#include "dump_path.h"

int pn_path_cache_add(struct pn_path_cache *cache, const struct pn_tree *tree, uint32_t directory)
{
    const struct pn_node *node = &tree->nodes[directory];
    uint32_t hash = pn_hash_bytes(tree->xattrs.key, node->parent, node->name, node->name_size);
    return pn_index_add(&cache->directories, hash, directory);
}

static uint32_t find_directory(const struct pn_path_cache *cache, const struct pn_tree *tree, uint32_t parent,
                               struct pn_slice name)
{
    uint32_t hash = pn_hash_bytes(tree->xattrs.key, parent, name.bytes, name.size);
    uint32_t at = pn_index_start(&cache->directories, hash), id;
    while (pn_index_next(&cache->directories, hash, &at, &id)) {
        const struct pn_node *node = &tree->nodes[id];
        if (node->parent == parent && node->name_size == name.size && memcmp(node->name, name.bytes, name.size) == 0)
            return id;
    }
    return PN_NONE;
}

/* The next component, slashes before it skipped; size 0 at the end. */
static struct pn_slice next_component(struct pn_slice *rest)
{
    struct pn_slice name;
    while (rest->size && rest->bytes[0] == '/') {
        rest->bytes++;
        rest->size--;
    }
    pn_slice_split(rest, '/', &name);
    return name;
}

static int is_normal(struct pn_slice path)
{
    if (!path.size)
        return 1;
    if (path.bytes[0] != '/' || path.bytes[path.size - 1] == '/')
        return 0;
    for (size_t i = 1; i < path.size; i++)
        if (path.bytes[i] == '/' && path.bytes[i - 1] == '/')
            return 0;
    return 1;
}

static int normalize(struct pn_arena *arena, struct pn_slice path, struct pn_slice *normal)
{
    uint8_t *start = pn_arena_take(arena, path.size + 1), *out = start;
    if (!start)
        return -ENOMEM;
    for (struct pn_slice name = next_component(&path); name.size; name = next_component(&path)) {
        *out++ = '/';
        memcpy(out, name.bytes, name.size);
        out += name.size;
    }
    *normal = (struct pn_slice){.bytes = start, .size = (size_t)(out - start)};
    return 0;
}

/* How much of both paths is the same, in whole components. */
static size_t common_size(struct pn_slice a, struct pn_slice b)
{
    size_t shorter = a.size < b.size ? a.size : b.size, i = 0;
    while (i < shorter && a.bytes[i] == b.bytes[i])
        i++;
    if ((i == a.size || a.bytes[i] == '/') && (i == b.size || b.bytes[i] == '/'))
        return i;
    while (i && a.bytes[i - 1] != '/')
        i--;
    return i ? i - 1 : 0;
}

static uint32_t move_to(const struct pn_path_cache *cache, const struct pn_tree *tree, struct pn_slice path)
{
    size_t common = common_size(cache->path, path);
    uint32_t node = cache->node;
    for (size_t i = common; i < cache->path.size; i++)
        if (cache->path.bytes[i] == '/')
            node = tree->nodes[node].parent;
    struct pn_slice rest = {.bytes = path.bytes + common, .size = path.size - common};
    for (struct pn_slice name = next_component(&rest); name.size && node != PN_NONE; name = next_component(&rest))
        node = find_directory(cache, tree, node, name);
    return node;
}

int pn_path_parent(struct pn_path_cache *cache, struct pn_tree *tree, struct pn_slice path, uint32_t *parent,
                   struct pn_slice *name)
{
    const uint8_t *slash = memrchr(path.bytes, '/', path.size);
    size_t before = slash ? (size_t)(slash - path.bytes) : 0;
    struct pn_slice directory = {.bytes = path.bytes, .size = before};

    name->bytes = slash ? slash + 1 : path.bytes;
    name->size = path.size - (size_t)(name->bytes - path.bytes);
    if (before != cache->path.size || (before && memcmp(directory.bytes, cache->path.bytes, before) != 0)) {
        if (!is_normal(directory)) {
            int error = normalize(&tree->arena, directory, &directory);
            if (error)
                return error;
        }
        *parent = move_to(cache, tree, directory);
        if (*parent == PN_NONE)
            return 0;
        cache->path = directory;
        cache->node = *parent;
    }
    *parent = cache->node;
    return 0;
}

uint32_t pn_path_find(const struct pn_tree *tree, struct pn_slice path)
{
    uint32_t node = 0;
    for (struct pn_slice name = next_component(&path); name.size && node != PN_NONE; name = next_component(&path))
        node = name.size > PN_NAME_MAX ? PN_NONE : pn_tree_find(tree, node, name.bytes, (uint32_t)name.size);
    return node;
}
