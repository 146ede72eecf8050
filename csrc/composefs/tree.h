/* SPDX-License-Identifier: MIT
 *
 * A file tree as one flat table: 80 bytes per node, children as index ranges, strings outside. Whoever reads a tree
 * (dump text, a directory scan) fills it from one thread and finishes it; whoever writes one (image, dump text) only
 * reads it. Nothing here recurses, so depth costs nothing.
 *
 *     struct pn_tree *tree = pn_tree_new(0);
 *     pn_tree_add(tree, PN_NONE, NULL, 0, &(struct pn_node_info){.mode = S_IFDIR | 0755}, &root);
 *     pn_tree_add(tree, root, name, name_size, &info, &file);
 *     pn_tree_set_object(tree, file, digest, digest);
 *     pn_tree_finish(tree, &failure);            children sorted, duplicates refused, hard links checked
 *     pn_composefs_write_image(tree, 1, 1, &image, &failure);
 *     pn_tree_free(tree);
 *
 * Out of scope: what overlayfs needs (stubs, escaped names, whiteout files): overlay.c derives it while writing.
 */
#ifndef PN_COMPOSEFS_TREE_H
#define PN_COMPOSEFS_TREE_H

#include <sys/stat.h>

#include "../include/powernode.h"
#include "arena.h"
#include "index.h"
#include "xattr.h"

#define PN_NAME_MAX 255u
#define PN_TARGET_MAX 4095u /* symlink targets and payload paths */
#define PN_CONTENT_MAX 5000u
/* The chunk table of a file must fit one block: 1024 chunks of 2^43 bytes. */
#define PN_FILE_SIZE_MAX ((uint64_t)1 << 53)

enum {
    PN_NODE_LINK = 1,        /* another name for `link`; the rest but name and parent is unused */
    PN_NODE_CONTENT = 2,     /* `data` is the file's content, size bytes of it */
    PN_NODE_PAYLOAD_PAIR = 4 /* payload is no store path: object.payload is the xattr pair redirect="/PAYLOAD" */
};

struct pn_node_info {
    uint64_t size; /* ignored for directories and symlinks */
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint32_t mode; /* with the type; bits above 16 are not stored in an image */
    uint32_t uid, gid;
    uint32_t nlink; /* ignored for directories: 2 + subdirectories */
    uint32_t rdev;  /* devices only; as makedev() packs 32 bits. 0 of a character device is a whiteout */
};

struct pn_node {
    const uint8_t *name;
    const uint8_t *data; /* symlink target, or content; else NULL */
    uint64_t size;
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint32_t mode, uid, gid, nlink;
    uint32_t parent; /* PN_NONE for the root */
    union {
        struct {
            uint32_t first, count; /* into tree->children; filled by pn_tree_finish */
        } children;
        struct {
            uint32_t digest, payload; /* objects, or PN_NONE */
        } object;
        uint32_t rdev;
        uint32_t link;
    };
    uint32_t xattr_first; /* into tree->xattr_ids, sorted by written name */
    uint16_t xattr_count;
    uint8_t name_size;
    uint8_t flags;
};

struct pn_tree {
    struct pn_node *nodes; /* 0 is the root */
    uint32_t *children;
    uint32_t *xattr_ids;
    uint32_t count, room, xattr_id_count, xattr_id_room;
    int borrow;
    int finished;
    struct pn_arena arena;
    struct pn_xattr_table xattrs;
};

/* With `borrow` the tree keeps pointers to the names, targets, contents and attributes it is given: they must outlive
 * it. Without, it copies them. NULL when there is no memory. */
struct pn_tree *pn_tree_new(int borrow);
void pn_tree_free(struct pn_tree *tree);

/* All of these return 0 or -errno: EINVAL for what no tree can hold, ENAMETOOLONG, EFBIG, ERANGE (xattrs), ENOMEM. */

/* The first node is the root (parent PN_NONE, no name). A parent is a directory added before. A regular file larger
 * than PN_FILE_SIZE_MAX is refused when the tree is finished, unless it got content. */
int pn_tree_add(struct pn_tree *tree, uint32_t parent, const uint8_t *name, uint32_t name_size,
                const struct pn_node_info *info, uint32_t *node);
/* A further name of a file that may be added later: pn_tree_set_link names it before pn_tree_finish or, where paths
 * are needed to find it, before pn_tree_check_links. */
int pn_tree_add_link(struct pn_tree *tree, uint32_t parent, const uint8_t *name, uint32_t name_size, uint32_t mode,
                     uint32_t *node);
void pn_tree_set_link(struct pn_tree *tree, uint32_t node, uint32_t target);

int pn_tree_set_target(struct pn_tree *tree, uint32_t node, const uint8_t *target, uint32_t size);
int pn_tree_set_content(struct pn_tree *tree, uint32_t node, const uint8_t *content, uint32_t size);
/* fs-verity digest of a regular file and the store object it is in (path "ab/cdef..." derived from it). Each may be
 * NULL; usually both are the same pointer. */
int pn_tree_set_object(struct pn_tree *tree, uint32_t node, const uint8_t *digest, const uint8_t *object);
/* The same for a payload that is an arbitrary path; one of the form "ab/cdef..." becomes an object. */
int pn_tree_set_payload(struct pn_tree *tree, uint32_t node, const uint8_t *payload, uint32_t size);
/* All attributes of a node at once, at most once per node; for equal names the last one counts. */
int pn_tree_set_xattrs(struct pn_tree *tree, uint32_t node, const struct pn_xattr_input *list, uint32_t count);

/* Sorts children and refuses duplicate names and oversized files; then pn_tree_find works. `where` of a failure is the
 * node's number + 1 (the line of a dump). */
int pn_tree_finish(struct pn_tree *tree, struct pn_failure *failure);
/* Resolves chains of links; refuses links to directories, to themselves and in circles. Called by the writers' callers
 * after pn_tree_finish and before any writer when the tree has links. */
int pn_tree_check_links(struct pn_tree *tree, struct pn_failure *failure);
/* The child of that name or PN_NONE. Only in a finished tree. */
uint32_t pn_tree_find(const struct pn_tree *tree, uint32_t directory, const uint8_t *name, uint32_t name_size);

/* The image of a finished tree; versions are 0 or 1. May be called several times. `image` gets a new buffer. */
int pn_composefs_write_image(struct pn_tree *tree, uint32_t min_version, uint32_t max_version, struct pn_buffer *image,
                             struct pn_failure *failure);
/* The tree as dump text, the text `composefs-info dump` prints for its version 0 image. */
int pn_tree_to_dump(struct pn_tree *tree, struct pn_buffer *text);

static inline int pn_node_is(const struct pn_node *node, uint32_t type)
{
    return (node->mode & S_IFMT) == type;
}

static inline int pn_node_is_directory(const struct pn_node *node)
{
    return pn_node_is(node, S_IFDIR) && !(node->flags & PN_NODE_LINK);
}

static inline int pn_node_is_whiteout(const struct pn_node *node)
{
    return pn_node_is(node, S_IFCHR) && !(node->flags & PN_NODE_LINK) && node->rdev == 0;
}

/* A regular file whose content lies in the object store. */
static inline int pn_node_is_external(const struct pn_node *node)
{
    return pn_node_is(node, S_IFREG) && !(node->flags & (PN_NODE_LINK | PN_NODE_CONTENT)) && node->size > 0;
}

/* The 32 bytes of a lowercase "ab/cdef..." path; 0 if it has another form. */
int pn_object_path_decode(const uint8_t *path, uint32_t size, uint8_t digest[PN_DIGEST_SIZE]);

#endif
