/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include "failure.h"
#include "hex.h"

_Static_assert(sizeof(struct pn_node) <= 96, "a node must stay lean: trees have millions");

struct pn_tree *pn_tree_new(int borrow)
{
    struct pn_tree *tree = calloc(1, sizeof(*tree));
    if (!tree)
        return NULL;
    tree->borrow = borrow;
    tree->xattrs.arena = &tree->arena;
    tree->xattrs.key = pn_hash_key_make(tree);
    return tree;
}

void pn_tree_free(struct pn_tree *tree)
{
    if (!tree)
        return;
    pn_xattr_table_free(&tree->xattrs);
    pn_arena_free(&tree->arena);
    free(tree->nodes);
    free(tree->children);
    free(tree->xattr_ids);
    free(tree);
}

static const uint8_t *keep(struct pn_tree *tree, const uint8_t *bytes, uint32_t size)
{
    return tree->borrow ? bytes : pn_arena_copy(&tree->arena, bytes, size);
}

static int name_allowed(const uint8_t *name, uint32_t size)
{
    if (!size || (name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.'))))
        return 0;
    return !memchr(name, 0, size) && !memchr(name, '/', size);
}

static int add(struct pn_tree *tree, uint32_t parent, const uint8_t *name, uint32_t name_size, uint32_t mode,
               uint32_t *node)
{
    if (tree->finished || (parent == PN_NONE) != (tree->count == 0))
        return -EINVAL;
    if (parent == PN_NONE) {
        if (name_size || (mode & S_IFMT) != S_IFDIR)
            return -EINVAL;
    } else {
        if (name_size > PN_NAME_MAX)
            return -ENAMETOOLONG;
        if (parent >= tree->count || !pn_node_is_directory(&tree->nodes[parent]) || !name_allowed(name, name_size))
            return -EINVAL;
        name = keep(tree, name, name_size);
        if (!name)
            return -ENOMEM;
    }
    int error = pn_array_reserve((void **)&tree->nodes, &tree->room, (uint64_t)tree->count + 1, sizeof(*tree->nodes));
    if (error)
        return error;
    *node = tree->count++;
    tree->nodes[*node] =
        (struct pn_node){.name = name, .name_size = (uint8_t)name_size, .parent = parent, .mode = mode};
    return 0;
}

int pn_tree_add(struct pn_tree *tree, uint32_t parent, const uint8_t *name, uint32_t name_size,
                const struct pn_node_info *info, uint32_t *index)
{
    uint32_t type = info->mode & S_IFMT;
    if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK && type != S_IFCHR && type != S_IFBLK &&
        type != S_IFIFO && type != S_IFSOCK)
        return -EINVAL;
    int error = add(tree, parent, name, name_size, info->mode, index);
    if (error)
        return error;
    struct pn_node *node = &tree->nodes[*index];
    node->uid = info->uid;
    node->gid = info->gid;
    node->nlink = info->nlink;
    node->mtime_s = info->mtime_s;
    node->mtime_ns = info->mtime_ns;
    node->size = type == S_IFDIR || type == S_IFLNK ? 0 : info->size;
    if (type == S_IFREG)
        node->object.digest = node->object.payload = PN_NONE;
    else if (type == S_IFCHR || type == S_IFBLK)
        node->rdev = info->rdev;
    return 0;
}

int pn_tree_add_link(struct pn_tree *tree, uint32_t parent, const uint8_t *name, uint32_t name_size, uint32_t mode,
                     uint32_t *index)
{
    if ((mode & S_IFMT) == S_IFDIR || (mode & S_IFMT) == 0)
        return -EINVAL;
    int error = add(tree, parent, name, name_size, mode, index);
    if (error)
        return error;
    tree->nodes[*index].flags = PN_NODE_LINK;
    tree->nodes[*index].link = PN_NONE;
    return 0;
}

void pn_tree_set_link(struct pn_tree *tree, uint32_t node, uint32_t target)
{
    tree->nodes[node].link = target;
}

int pn_tree_set_target(struct pn_tree *tree, uint32_t index, const uint8_t *target, uint32_t size)
{
    struct pn_node *node = &tree->nodes[index];
    if (!pn_node_is(node, S_IFLNK) || !size || memchr(target, 0, size))
        return -EINVAL;
    if (size > PN_TARGET_MAX)
        return -ENAMETOOLONG;
    node->data = keep(tree, target, size);
    node->size = size;
    return node->data ? 0 : -ENOMEM;
}

int pn_tree_set_content(struct pn_tree *tree, uint32_t index, const uint8_t *content, uint32_t size)
{
    struct pn_node *node = &tree->nodes[index];
    if (!pn_node_is(node, S_IFREG) || size != node->size)
        return -EINVAL;
    if (size > PN_CONTENT_MAX)
        return -EFBIG;
    if (!size)
        return 0;
    node->data = keep(tree, content, size);
    node->flags |= PN_NODE_CONTENT;
    node->object.digest = node->object.payload = PN_NONE;
    return node->data ? 0 : -ENOMEM;
}

int pn_tree_set_object(struct pn_tree *tree, uint32_t index, const uint8_t *digest, const uint8_t *object)
{
    struct pn_node *node = &tree->nodes[index];
    if (!pn_node_is_external(node))
        return pn_node_is(node, S_IFREG) ? 0 : -EINVAL;
    int error = 0;
    uint32_t id;
    if (digest) {
        error = pn_object_intern(&tree->xattrs, digest, &id);
        if (error)
            return error;
        node->object.digest = id;
        if (object && (object == digest || memcmp(object, digest, PN_DIGEST_SIZE) == 0)) {
            node->object.payload = id;
            return 0;
        }
    }
    if (object) {
        error = pn_object_intern(&tree->xattrs, object, &id);
        if (!error)
            node->object.payload = id;
    }
    return error;
}

int pn_object_path_decode(const uint8_t *path, uint32_t size, uint8_t digest[PN_DIGEST_SIZE])
{
    if (size != 2 * PN_DIGEST_SIZE + 1 || path[2] != '/')
        return 0;
    return !(pn_hex_decode(path, 1, digest) | pn_hex_decode(path + 3, PN_DIGEST_SIZE - 1, digest + 1));
}

int pn_tree_set_payload(struct pn_tree *tree, uint32_t index, const uint8_t *payload, uint32_t size)
{
    struct pn_node *node = &tree->nodes[index];
    uint8_t digest[PN_DIGEST_SIZE];
    if (!pn_node_is_external(node) || !size)
        return pn_node_is(node, S_IFREG) ? 0 : -EINVAL;
    if (size > PN_TARGET_MAX)
        return -ENAMETOOLONG;
    if (pn_object_path_decode(payload, size, digest))
        return pn_tree_set_object(tree, index, NULL, digest);

    uint8_t redirect[1 + PN_TARGET_MAX];
    uint32_t id;
    redirect[0] = '/';
    memcpy(redirect + 1, payload, size);
    struct pn_xattr_input input = {.name = (const uint8_t *)"trusted.overlay.redirect",
                                   .name_size = sizeof("trusted.overlay.redirect") - 1,
                                   .value = redirect,
                                   .value_size = size + 1};
    int error = pn_xattr_intern(&tree->xattrs, &input, 1, 1, &id);
    if (error)
        return error;
    node->object.payload = id;
    node->flags |= PN_NODE_PAYLOAD_PAIR;
    return 0;
}
