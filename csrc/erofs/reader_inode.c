/* SPDX-License-Identifier: MIT
 *
 * One inode: its fields, in range or refused, and the map that says which bytes of the image belong to which inode.
 */
#include <errno.h>

#include "../composefs/failure.h"
#include "format.h"
#include "reader.h"

static void read_compact(const struct pn_erofs_reader *reader, const uint8_t *bytes, struct pn_erofs_inode *inode)
{
    inode->nlink = pn_get_u16(bytes + PN_EROFS_C_NLINK);
    inode->size = pn_get_u32(bytes + PN_EROFS_C_SIZE);
    inode->uid = pn_get_u16(bytes + PN_EROFS_C_UID);
    inode->gid = pn_get_u16(bytes + PN_EROFS_C_GID);
    inode->mtime_s = reader->build_time_s;
    inode->mtime_ns = reader->build_time_ns;
}

static void read_extended(const uint8_t *bytes, struct pn_erofs_inode *inode)
{
    inode->nlink = pn_get_u32(bytes + PN_EROFS_E_NLINK);
    inode->size = pn_get_u64(bytes + PN_EROFS_E_SIZE);
    inode->uid = pn_get_u32(bytes + PN_EROFS_E_UID);
    inode->gid = pn_get_u32(bytes + PN_EROFS_E_GID);
    inode->mtime_s = (int64_t)pn_get_u64(bytes + PN_EROFS_E_MTIME);
    inode->mtime_ns = pn_get_u32(bytes + PN_EROFS_E_MTIME_NSEC);
}

int32_t pn_erofs_inode_load(struct pn_erofs_reader *reader, uint64_t nid, uint64_t where, struct pn_erofs_inode *inode)
{
    struct pn_failure *failure = reader->failure;
    uint64_t room = reader->size - reader->meta_offset;
    if (nid >= room >> PN_EROFS_SLOT_BITS || reader->meta_offset + (nid << PN_EROFS_SLOT_BITS) < PN_EROFS_FIRST_INODE)
        return pn_refuse(failure, -EINVAL, where, "erofs.nid-range", "inode %llu lies outside the image",
                         (unsigned long long)nid);
    uint64_t offset = reader->meta_offset + (nid << PN_EROFS_SLOT_BITS);
    const uint8_t *bytes = reader->image + offset;
    uint32_t format = pn_get_u16(bytes + PN_EROFS_I_FORMAT);
    if ((format & ~PN_EROFS_I_FORMAT_ALL) != 0)
        return pn_refuse(failure, -EOPNOTSUPP, offset, "erofs.layout", "unknown inode format 0x%04x", format);
    uint32_t inode_size = (format & PN_EROFS_I_EXTENDED) != 0 ? PN_EROFS_EXTENDED_SIZE : PN_EROFS_COMPACT_SIZE;
    uint32_t icount = pn_get_u16(bytes + PN_EROFS_I_XATTR_ICOUNT);
    uint32_t xattr_size = icount == 0 ? 0 : PN_EROFS_XATTR_HEADER + 4 * (icount - 1);
    if (reader->size - offset < (uint64_t)inode_size + xattr_size)
        return pn_refuse(failure, -EINVAL, offset, "erofs.nid-range", "the inode needs %u bytes, the image ends before",
                         inode_size + xattr_size);

    inode->nid = nid;
    inode->offset = offset;
    inode->mode = pn_get_u16(bytes + PN_EROFS_I_MODE);
    inode->layout = format >> PN_EROFS_I_LAYOUT_SHIFT & PN_EROFS_I_LAYOUT_MASK;
    inode->xattr_offset = offset + inode_size;
    inode->xattr_size = xattr_size;
    if (pn_erofs_file_type(inode->mode) == PN_EROFS_FT_UNKNOWN)
        return pn_refuse(failure, -EINVAL, offset, "erofs.mode", "mode %o has no known file type", inode->mode);
    if (inode_size == PN_EROFS_COMPACT_SIZE)
        read_compact(reader, bytes, inode);
    else
        read_extended(bytes, inode);
    if (inode->size > INT64_MAX)
        return pn_refuse(failure, -EINVAL, offset, "erofs.file-size", "file size %llu",
                         (unsigned long long)inode->size);
    return pn_erofs_data_locate(reader, offset + inode_size + xattr_size, pn_get_u32(bytes + PN_EROFS_I_U), inode);
}

/* Sets the bits [first, last) and says whether one was set before. */
static int claim(uint64_t *map, uint64_t first, uint64_t last)
{
    uint64_t before = 0;
    while (first < last) {
        uint32_t low = first % 64;
        uint64_t count = last - first < 64 - low ? last - first : 64 - low;
        uint64_t mask = (count == 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1) << low;
        before |= map[first / 64] & mask;
        map[first / 64] |= mask;
        first += count;
    }
    return before != 0;
}

int32_t pn_erofs_inode_visit(struct pn_erofs_reader *reader, const struct pn_erofs_inode *inode)
{
    uint64_t slot = inode->offset / PN_EROFS_SLOT;
    uint64_t bit = (uint64_t)1 << slot % 64;
    if ((reader->visited[slot / 64] & bit) != 0)
        return 1;
    reader->visited[slot / 64] |= bit;
    if (claim(reader->claimed, slot, (inode->end + PN_EROFS_SLOT - 1) / PN_EROFS_SLOT))
        return pn_refuse(reader->failure, -EINVAL, inode->offset, "erofs.overlap", "inode %llu overlaps another one",
                         (unsigned long long)inode->nid);
    return 0;
}
