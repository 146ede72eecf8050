/* SPDX-License-Identifier: MIT
 *
 * Everything known about an image before its first byte is written: the inodes in the order they are stored, what each
 * carries, which attributes are shared, and where everything goes. Made in this order:
 *   pn_image_plan_inodes    what overlayfs needs (composefs/overlay.c): order, effective modes and attributes
 *   pn_image_plan_sharing   the shared attribute table (sharing.c)
 *   pn_image_plan_layout    sizes and places (layout.c)
 *   pn_image_plan_emit      the bytes (emit.c)
 */
#ifndef PN_EROFS_PLAN_H
#define PN_EROFS_PLAN_H

#include "../composefs/tree.h"
#include "format.h"

enum {
    PN_INODE_COMPACT = 1,
    PN_INODE_EXTRA_XATTRS = 2, /* xattr_first counts in plan->extra_ids */
    PN_INODE_METACOPY = 4,     /* + the attribute of object.digest */
    PN_INODE_REDIRECT = 8      /* + the attribute of object.payload */
};

struct pn_inode {
    uint32_t node; /* PN_NONE: a stub of the root directory */
    uint32_t xattr_first;
    uint32_t xattr_bytes;
    uint32_t nlink;
    uint32_t blocks; /* of its own data */
    uint32_t nid;
    uint16_t xattr_count; /* without metacopy and redirect */
    uint16_t mode;
    uint16_t tail; /* bytes behind inode and attributes */
    uint8_t shared;
    uint8_t flags;
};

/* An attribute of an inode: a pair of the tree, or one that an object implies. */
#define PN_REF_PAIR 0u
#define PN_REF_METACOPY 0x40000000u
#define PN_REF_REDIRECT 0x80000000u
#define PN_REF_KIND 0xc0000000u
#define PN_REF_ID 0x3fffffffu

#define PN_METACOPY_SIZE (4u + PN_DIGEST_SIZE)
#define PN_REDIRECT_SIZE (2u + 2u * PN_DIGEST_SIZE)
#define PN_STUBS 256u
#define PN_SHARED_PER_INODE 128u /* where the reference writer stops; the rest of an inode's go into it */

struct pn_image_plan {
    struct pn_tree *tree;
    uint32_t version;
    uint32_t has_acl;
    int64_t mtime_s; /* the smallest */
    uint32_t mtime_ns;

    struct pn_inode *inodes;
    uint32_t inode_count;
    uint32_t *inode_of;       /* by node; links stay PN_NONE */
    uint32_t stubs[PN_STUBS]; /* inode of each, PN_NONE where the tree has the name */
    uint32_t *extra_ids;
    uint32_t extra_count, extra_room;
    uint32_t *refs; /* scratch: the attributes of one inode */

    /* First how often, then the offset in the shared table or PN_NONE: by pair, and by object. */
    uint32_t *pair_shared, *metacopy_shared, *redirect_shared;
    uint32_t *shared; /* refs in the order of the table */
    uint32_t shared_count;
    uint64_t shared_bytes;
    uint8_t *name_bits; /* by name: its bit in the filter */
    uint8_t metacopy_bit, redirect_bit;

    uint64_t inodes_end;
    uint64_t data_start;
    uint64_t data_blocks;
};

int pn_image_plan_inodes(struct pn_image_plan *plan, uint32_t min_version, uint32_t max_version,
                         struct pn_failure *failure);
int pn_image_plan_sharing(struct pn_image_plan *plan);
int pn_image_plan_layout(struct pn_image_plan *plan);
/* The size of one chunk of a file kept elsewhere, as a power of two. */
unsigned pn_chunk_bits(uint64_t size);
/* `image` is pn_image_plan_size(plan) bytes, all of which are written. */
void pn_image_plan_emit(struct pn_image_plan *plan, uint8_t *image);
void pn_image_plan_free(struct pn_image_plan *plan);

static inline uint64_t pn_image_plan_size(const struct pn_image_plan *plan)
{
    return plan->data_start + plan->data_blocks * PN_EROFS_BLOCK;
}

/* The inode's attributes in the order of their written names, in plan->refs. */
uint32_t pn_image_plan_refs(const struct pn_image_plan *plan, const struct pn_inode *inode);

static inline uint32_t *pn_image_plan_shared_slot(const struct pn_image_plan *plan, uint32_t ref)
{
    switch (ref & PN_REF_KIND) {
    case PN_REF_METACOPY:
        return &plan->metacopy_shared[ref & PN_REF_ID];
    case PN_REF_REDIRECT:
        return &plan->redirect_shared[ref & PN_REF_ID];
    default:
        return &plan->pair_shared[ref];
    }
}

#endif
