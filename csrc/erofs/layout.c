/* SPDX-License-Identifier: MIT
 *
 * Sizes and places. Inodes follow each other at multiples of 32 bytes; what an inode carries behind its attributes
 * (directory entries, symlink target, small content, chunk table) stays there as its tail as long as it does not cross
 * a block boundary, otherwise it gets blocks behind the shared attributes, in inode order.
 */
#include "dir_walk.h"
#include "xattr_entry.h"

#define ROUND_UP(value, unit) (((value) + ((unit) - 1)) & ~(uint64_t)((unit) - 1))
#define TAIL_MAX (PN_EROFS_BLOCK / 2)

static void directory_size(const struct pn_image_plan *plan, struct pn_inode *inode)
{
    struct pn_dir_walk walk = pn_dir_walk_start(plan->tree, inode->node);
    struct pn_dir_entry entry;
    uint32_t blocks = 0, used = 0;
    while (pn_dir_walk_next(&walk, &entry)) {
        uint32_t size = PN_EROFS_DIRENT_SIZE + entry.size;
        if (used + size > PN_EROFS_BLOCK) {
            blocks++;
            used = 0;
        }
        used += size;
    }
    if (used > TAIL_MAX) {
        blocks++;
        used = 0;
    }
    inode->blocks = blocks;
    inode->tail = (uint16_t)used;
}

/* Chunks of the smallest power of two that covers the file, so normally one entry of 4 bytes. */
unsigned pn_chunk_bits(uint64_t size)
{
    unsigned bits = size > 1 ? 64u - (unsigned)__builtin_clzll(size - 1) : 0;
    if (bits < PN_EROFS_BLOCK_BITS)
        bits = PN_EROFS_BLOCK_BITS;
    return bits > PN_EROFS_CHUNK_BITS_MAX ? PN_EROFS_CHUNK_BITS_MAX : bits;
}

static void data_size(const struct pn_image_plan *plan, struct pn_inode *inode)
{
    inode->blocks = 0;
    inode->tail = 0;
    if (inode->node == PN_NONE)
        return;
    const struct pn_node *node = &plan->tree->nodes[inode->node];
    if (pn_node_is(node, S_IFDIR)) {
        directory_size(plan, inode);
    } else if (pn_node_is(node, S_IFLNK)) {
        inode->tail = (uint16_t)node->size;
    } else if (node->flags & PN_NODE_CONTENT) {
        inode->blocks = (uint32_t)(node->size / PN_EROFS_BLOCK);
        inode->tail = (uint16_t)(node->size % PN_EROFS_BLOCK);
        if (inode->tail > TAIL_MAX) {
            inode->blocks++;
            inode->tail = 0;
        }
    } else if (pn_node_is_external(node)) {
        uint64_t chunk = (uint64_t)1 << pn_chunk_bits(node->size);
        inode->tail = (uint16_t)((node->size + chunk - 1) / chunk * 4);
    }
}

static int fits_compact(const struct pn_image_plan *plan, const struct pn_inode *inode)
{
    const struct pn_node *node = &plan->tree->nodes[inode->node == PN_NONE ? 0 : inode->node];
    uint64_t size = inode->node == PN_NONE || pn_node_is_whiteout(node) ? 0 : node->size;
    if (inode->node != PN_NONE && pn_node_is(node, S_IFDIR))
        size = (uint64_t)inode->blocks * PN_EROFS_BLOCK + inode->tail;
    return node->mtime_s == plan->mtime_s && node->mtime_ns == plan->mtime_ns && inode->nlink <= UINT16_MAX &&
           node->uid <= UINT16_MAX && node->gid <= UINT16_MAX && size <= UINT32_MAX;
}

static void xattr_size(const struct pn_image_plan *plan, struct pn_inode *inode)
{
    uint32_t count = pn_image_plan_refs(plan, inode), shared = 0, bytes = 0;
    inode->shared = 0;
    inode->xattr_bytes = 0;
    if (!count)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (*pn_image_plan_shared_slot(plan, plan->refs[i]) != PN_NONE && shared < PN_SHARED_PER_INODE)
            shared++;
        else
            bytes += pn_xattr_entry_size(plan, plan->refs[i]);
    }
    inode->shared = (uint8_t)shared;
    inode->xattr_bytes = PN_EROFS_XATTR_HEADER + 4 * shared + bytes;
}

/* Padding before an inode at `position` (a multiple of 32) so that its tail stays within one block; may move the tail
 * out into a block of its own. */
static uint64_t tail_padding(struct pn_inode *inode, int is_symlink, uint64_t position, uint64_t body)
{
    uint64_t to_block = ROUND_UP(position, PN_EROFS_BLOCK) - position;
    if (is_symlink) {
        /* Here the whole inode must not cross, judged with the target even if that then moves out. */
        uint64_t total = body + inode->tail;
        int crosses = position / PN_EROFS_BLOCK != (position + total - 1) / PN_EROFS_BLOCK;
        if (total >= PN_EROFS_BLOCK) {
            inode->blocks++;
            inode->tail = 0;
        }
        return crosses ? to_block : 0;
    }
    uint64_t left = PN_EROFS_BLOCK - (position + body) % PN_EROFS_BLOCK;
    if (left >= inode->tail)
        return 0;
    uint64_t padding = ROUND_UP(left, PN_EROFS_SLOT);
    left = PN_EROFS_BLOCK - (position + body + padding) % PN_EROFS_BLOCK;
    if (left >= inode->tail)
        return padding;
    inode->blocks++;
    inode->tail = 0;
    return to_block;
}

int pn_image_plan_layout(struct pn_image_plan *plan)
{
    uint64_t position = PN_EROFS_FIRST_INODE;
    plan->data_blocks = 0;
    for (uint32_t i = 0; i < plan->inode_count; i++) {
        struct pn_inode *inode = &plan->inodes[i];
        data_size(plan, inode);
        xattr_size(plan, inode);
        inode->flags &= (uint8_t)~PN_INODE_COMPACT;
        if (fits_compact(plan, inode))
            inode->flags |= PN_INODE_COMPACT;
        uint64_t body = inode->flags & PN_INODE_COMPACT ? PN_EROFS_COMPACT_SIZE : PN_EROFS_EXTENDED_SIZE;
        body += inode->xattr_bytes;
        position = ROUND_UP(position, PN_EROFS_SLOT);
        position += tail_padding(inode, (inode->mode & S_IFMT) == S_IFLNK, position, body);
        if (position / PN_EROFS_SLOT > UINT32_MAX)
            return -EFBIG;
        inode->nid = (uint32_t)(position / PN_EROFS_SLOT);
        plan->data_blocks += inode->blocks;
        position += body + inode->tail;
    }
    plan->inodes_end = ROUND_UP(position, PN_EROFS_SLOT);
    plan->data_start = ROUND_UP(plan->inodes_end + plan->shared_bytes, PN_EROFS_BLOCK);
    if (plan->data_start / PN_EROFS_BLOCK + plan->data_blocks > UINT32_MAX)
        return -EFBIG;
    return 0;
}
