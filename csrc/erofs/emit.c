/* SPDX-License-Identifier: MIT
 *
 * The bytes of a laid-out image. One pass over the inodes writes each inode and, as block numbers are handed out in the
 * same order, its data blocks. Every byte of the image is written exactly once, gaps included: the buffer need not be
 * zeroed.
 */
#include "dir_walk.h"
#include "xattr_entry.h"

struct emitter {
    struct pn_image_plan *plan;
    uint8_t *image;
    uint8_t *out;        /* end of the metadata so far */
    uint64_t next_block; /* first data block not handed out */
};

static void zero_to(struct emitter *emitter, uint64_t offset)
{
    uint8_t *end = emitter->image + offset;
    memset(emitter->out, 0, (size_t)(end - emitter->out));
    emitter->out = end;
}

static void header_and_superblock(struct emitter *emitter)
{
    const struct pn_image_plan *plan = emitter->plan;
    uint8_t *header = emitter->image, *super = emitter->image + PN_EROFS_SUPER_OFFSET;
    zero_to(emitter, PN_EROFS_FIRST_INODE);
    pn_put_u32(header + PN_CFS_HEADER_MAGIC, PN_CFS_MAGIC);
    pn_put_u32(header + PN_CFS_HEADER_VERSION, PN_CFS_FORMAT_VERSION);
    pn_put_u32(header + PN_CFS_HEADER_FLAGS, plan->has_acl ? PN_CFS_FLAG_HAS_ACL : 0);
    pn_put_u32(header + PN_CFS_HEADER_COMPOSEFS_VERSION, plan->version);

    pn_put_u32(super + PN_EROFS_SB_MAGIC, PN_EROFS_SUPER_MAGIC);
    pn_put_u32(super + PN_EROFS_SB_FEATURE_COMPAT,
               PN_EROFS_FEATURE_COMPAT_MTIME | PN_EROFS_FEATURE_COMPAT_XATTR_FILTER);
    super[PN_EROFS_SB_BLKSZBITS] = PN_EROFS_BLOCK_BITS;
    pn_put_u16(super + PN_EROFS_SB_ROOT_NID, (uint16_t)plan->inodes[0].nid);
    pn_put_u64(super + PN_EROFS_SB_INOS, plan->inode_count);
    pn_put_u64(super + PN_EROFS_SB_BUILD_TIME, (uint64_t)plan->mtime_s);
    pn_put_u32(super + PN_EROFS_SB_BUILD_TIME_NSEC, plan->mtime_ns);
    pn_put_u32(super + PN_EROFS_SB_BLOCKS, (uint32_t)(pn_image_plan_size(plan) / PN_EROFS_BLOCK));
    pn_put_u32(super + PN_EROFS_SB_XATTR_BLKADDR, (uint32_t)(plan->inodes_end / PN_EROFS_BLOCK));
}

static const struct pn_inode *entry_inode(const struct pn_image_plan *plan, uint32_t directory,
                                          const struct pn_dir_entry *entry)
{
    const struct pn_node *nodes = plan->tree->nodes;
    uint32_t node = directory;
    switch (entry->kind) {
    case PN_ENTRY_STUB:
        return &plan->inodes[plan->stubs[entry->which]];
    case PN_ENTRY_SELF:
        break;
    case PN_ENTRY_PARENT:
        node = directory ? nodes[directory].parent : 0;
        break;
    case PN_ENTRY_CHILD:
        node = entry->which;
        if (nodes[node].flags & PN_NODE_LINK)
            node = nodes[node].link;
        break;
    }
    return &plan->inodes[plan->inode_of[node]];
}

/* Entries from *from on that fit into one block, or all that are left: first the fixed part of each, then the names.
 * How many there are must be known before the first can be written, so the run is walked twice. */
static uint8_t *directory_part(const struct pn_image_plan *plan, uint32_t directory, struct pn_dir_walk *from,
                               uint8_t *out)
{
    struct pn_dir_walk ahead = *from, before = *from;
    struct pn_dir_entry entry = {0};
    uint32_t count = 0, used = 0;
    while (pn_dir_walk_next(&ahead, &entry) && used + PN_EROFS_DIRENT_SIZE + entry.size <= PN_EROFS_BLOCK) {
        used += PN_EROFS_DIRENT_SIZE + entry.size;
        count++;
    }
    uint32_t name_offset = count * PN_EROFS_DIRENT_SIZE;
    for (uint32_t i = 0; i < count; i++) {
        if (!pn_dir_walk_next(&before, &entry))
            break;
        const struct pn_inode *inode = entry_inode(plan, directory, &entry);
        uint8_t *fixed = out + i * PN_EROFS_DIRENT_SIZE;
        pn_put_u64(fixed + PN_EROFS_D_NID, inode->nid);
        pn_put_u16(fixed + PN_EROFS_D_NAMEOFF, (uint16_t)name_offset);
        fixed[PN_EROFS_D_TYPE] = pn_erofs_file_type(inode->mode);
        fixed[PN_EROFS_D_TYPE + 1] = 0;
        memcpy(out + name_offset, entry.name, entry.size);
        name_offset += entry.size;
    }
    *from = before;
    return out + name_offset;
}

static void fill_block(uint8_t *block, const uint8_t *end)
{
    memset(block + (end - block), 0, PN_EROFS_BLOCK - (size_t)(end - block));
}

static void directory_data(struct emitter *emitter, const struct pn_inode *inode, uint8_t *blocks)
{
    struct pn_dir_walk walk = pn_dir_walk_start(emitter->plan->tree, inode->node);
    for (uint32_t i = 0; i < inode->blocks; i++) {
        uint8_t *block = blocks + (size_t)i * PN_EROFS_BLOCK;
        fill_block(block, directory_part(emitter->plan, inode->node, &walk, block));
    }
    if (inode->tail)
        emitter->out = directory_part(emitter->plan, inode->node, &walk, emitter->out);
}

static void bytes_data(struct emitter *emitter, const struct pn_inode *inode, const struct pn_node *node,
                       uint8_t *blocks)
{
    size_t in_blocks = (size_t)node->size - inode->tail;
    if (inode->blocks) {
        memcpy(blocks, node->data, in_blocks);
        memset(blocks + in_blocks, 0, (size_t)inode->blocks * PN_EROFS_BLOCK - in_blocks);
    }
    memcpy(emitter->out, node->data + in_blocks, inode->tail);
    emitter->out += inode->tail;
}

static void data(struct emitter *emitter, const struct pn_inode *inode)
{
    uint8_t *blocks = emitter->image + emitter->next_block * PN_EROFS_BLOCK;
    if (inode->node == PN_NONE)
        return;
    const struct pn_node *node = &emitter->plan->tree->nodes[inode->node];
    if (pn_node_is(node, S_IFDIR)) {
        directory_data(emitter, inode, blocks);
    } else if (node->data) {
        bytes_data(emitter, inode, node, blocks);
    } else {
        /* A chunk table that points nowhere: overlayfs takes the content from the object store. */
        memset(blocks, 0xff, (size_t)inode->blocks * PN_EROFS_BLOCK);
        memset(emitter->out, 0xff, inode->tail);
        emitter->out += inode->tail;
    }
    emitter->next_block += inode->blocks;
}

static void xattrs(struct emitter *emitter, const struct pn_inode *inode)
{
    const struct pn_image_plan *plan = emitter->plan;
    const struct pn_xattr_table *table = &plan->tree->xattrs;
    if (!inode->xattr_bytes)
        return;
    uint32_t count = pn_image_plan_refs(plan, inode), shared = 0, filter = PN_EROFS_XATTR_FILTER_DEFAULT;
    uint32_t table_start = (uint32_t)(plan->inodes_end % PN_EROFS_BLOCK / 4);
    uint8_t *header = emitter->out, *id = header + PN_EROFS_XATTR_HEADER, *out = id + 4 * inode->shared;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t ref = plan->refs[i], offset = *pn_image_plan_shared_slot(plan, ref), kind = ref & PN_REF_KIND;
        uint8_t bit = kind == PN_REF_METACOPY   ? plan->metacopy_bit
                      : kind == PN_REF_REDIRECT ? plan->redirect_bit
                                                : plan->name_bits[table->pairs[ref].name];
        filter &= ~((uint32_t)1 << bit);
        if (offset != PN_NONE && shared < inode->shared) {
            pn_put_u32(id + (size_t)4 * shared++, table_start + offset);
        } else {
            out = pn_xattr_entry_write(plan, ref, out);
        }
    }
    pn_put_u32(header + PN_EROFS_XH_FILTER, filter);
    memset(header + PN_EROFS_XH_SHARED_COUNT, 0, PN_EROFS_XATTR_HEADER - PN_EROFS_XH_SHARED_COUNT);
    header[PN_EROFS_XH_SHARED_COUNT] = (uint8_t)shared;
    emitter->out = out;
}

static void inode_fields(struct emitter *emitter, const struct pn_inode *inode)
{
    const struct pn_image_plan *plan = emitter->plan;
    int stub = inode->node == PN_NONE;
    const struct pn_node *node = &plan->tree->nodes[stub ? 0 : inode->node]; /* stubs belong to the root's owner */
    int compact = inode->flags & PN_INODE_COMPACT, external = !stub && pn_node_is_external(node);
    uint32_t type = inode->mode & S_IFMT;
    uint32_t layout = external ? PN_EROFS_LAYOUT_CHUNK : inode->tail ? PN_EROFS_LAYOUT_FLAT_INLINE : 0;
    uint64_t size = 0;
    uint32_t value = inode->blocks ? (uint32_t)emitter->next_block : 0;
    uint8_t *out = emitter->out;

    if (type == S_IFDIR)
        size = (uint64_t)inode->blocks * PN_EROFS_BLOCK + inode->tail;
    else if (type == S_IFLNK || (type == S_IFREG && !pn_node_is_whiteout(node)))
        size = node->size;
    if ((type == S_IFCHR || type == S_IFBLK) && !stub)
        value = node->rdev;
    if (external) /* the format shares its bytes with the block number of an outside chunk table */
        value = (value & 0xffff0000u) | (pn_chunk_bits(size) - PN_EROFS_BLOCK_BITS);

    memset(out, 0, PN_EROFS_EXTENDED_SIZE / (compact ? 2 : 1));
    pn_put_u16(out + PN_EROFS_I_FORMAT,
               (uint16_t)(layout << PN_EROFS_I_LAYOUT_SHIFT | (compact ? 0 : PN_EROFS_I_EXTENDED)));
    if (inode->xattr_bytes)
        pn_put_u16(out + PN_EROFS_I_XATTR_ICOUNT, (uint16_t)((inode->xattr_bytes - PN_EROFS_XATTR_HEADER) / 4 + 1));
    pn_put_u16(out + PN_EROFS_I_MODE, inode->mode);
    pn_put_u32(out + PN_EROFS_I_U, value);
    pn_put_u32(out + PN_EROFS_I_INO, (uint32_t)(inode - plan->inodes));
    if (compact) {
        pn_put_u16(out + PN_EROFS_C_NLINK, (uint16_t)inode->nlink);
        pn_put_u32(out + PN_EROFS_C_SIZE, (uint32_t)size);
        pn_put_u16(out + PN_EROFS_C_UID, (uint16_t)node->uid);
        pn_put_u16(out + PN_EROFS_C_GID, (uint16_t)node->gid);
        emitter->out += PN_EROFS_COMPACT_SIZE;
    } else {
        pn_put_u64(out + PN_EROFS_E_SIZE, size);
        pn_put_u32(out + PN_EROFS_E_UID, node->uid);
        pn_put_u32(out + PN_EROFS_E_GID, node->gid);
        pn_put_u64(out + PN_EROFS_E_MTIME, (uint64_t)node->mtime_s);
        pn_put_u32(out + PN_EROFS_E_MTIME_NSEC, node->mtime_ns);
        pn_put_u32(out + PN_EROFS_E_NLINK, inode->nlink);
        emitter->out += PN_EROFS_EXTENDED_SIZE;
    }
}

void pn_image_plan_emit(struct pn_image_plan *plan, uint8_t *image)
{
    struct emitter emitter = {
        .plan = plan, .image = image, .out = image, .next_block = plan->data_start / PN_EROFS_BLOCK};
    header_and_superblock(&emitter);
    for (uint32_t i = 0; i < plan->inode_count; i++) {
        const struct pn_inode *inode = &plan->inodes[i];
        zero_to(&emitter, (uint64_t)inode->nid * PN_EROFS_SLOT);
        inode_fields(&emitter, inode);
        xattrs(&emitter, inode);
        data(&emitter, inode);
    }
    zero_to(&emitter, plan->inodes_end);
    for (uint32_t i = 0; i < plan->shared_count; i++)
        emitter.out = pn_xattr_entry_write(plan, plan->shared[i], emitter.out);
    zero_to(&emitter, plan->data_start);
}
