/* SPDX-License-Identifier: MIT
 *
 * Where the data of an inode is. Ranges are checked here once, so that readers of head and tail need not.
 */
#include <errno.h>

#include "../composefs/failure.h"
#include "format.h"
#include "reader.h"

static int32_t refuse_layout(const struct pn_erofs_reader *reader, const struct pn_erofs_inode *inode)
{
    return pn_refuse(reader->failure, -EOPNOTSUPP, inode->offset, "erofs.layout",
                     "data layout %u is not used by composefs for mode %o", inode->layout, inode->mode);
}

/* A regular file whose data is elsewhere: a table of chunk addresses that must all say "nowhere".
 *
 * The reference writer puts a table that would cross a block border into a block of its own and overwrites half of
 * that block's number, so such a table cannot be found again. What can be told is that it is not here. */
static int32_t check_chunks(struct pn_erofs_reader *reader, uint64_t offset, uint32_t i_u, struct pn_erofs_inode *inode)
{
    uint32_t format = i_u & 0xffffu;
    if ((format & ~PN_EROFS_CHUNK_FORMAT_BLKBITS_MASK) != 0)
        return pn_refuse(reader->failure, -EOPNOTSUPP, inode->offset, "erofs.chunk-format", "chunk format 0x%04x",
                         format);
    uint32_t bits = PN_EROFS_BLOCK_BITS + format;
    uint64_t count = ((inode->size - 1) >> bits) + 1;
    if (count > PN_EROFS_CHUNKS_MAX)
        return pn_refuse(reader->failure, -EINVAL, inode->offset, "erofs.chunk-count",
                         "%llu chunks, at most %u are possible", (unsigned long long)count, PN_EROFS_CHUNKS_MAX);
    uint64_t table_size = 4 * count;
    if (offset % PN_EROFS_BLOCK + table_size > PN_EROFS_BLOCK)
        return 0;
    if (table_size > reader->size - offset)
        return pn_refuse(reader->failure, -EINVAL, inode->offset, "erofs.chunk-range",
                         "the chunk table reaches behind the end of the image");
    for (uint64_t i = 0; i < count; i++)
        if (pn_get_u32(reader->image + offset + 4 * i) != PN_EROFS_NULL_ADDR)
            return pn_refuse(reader->failure, -EOPNOTSUPP, offset + 4 * i, "erofs.chunk-data",
                             "a chunk of the file is stored in the image");
    inode->end = offset + table_size;
    return 0;
}

int32_t pn_erofs_data_locate(struct pn_erofs_reader *reader, uint64_t data_offset, uint32_t i_u,
                             struct pn_erofs_inode *inode)
{
    uint32_t type = inode->mode & PN_MODE_TYPE;
    inode->end = data_offset;
    inode->rdev = 0;
    inode->head_offset = 0;
    inode->head_size = 0;
    inode->tail_offset = data_offset;
    inode->tail_size = 0;
    if (inode->layout != PN_EROFS_LAYOUT_FLAT_PLAIN && inode->layout != PN_EROFS_LAYOUT_FLAT_INLINE &&
        inode->layout != PN_EROFS_LAYOUT_CHUNK)
        return refuse_layout(reader, inode);
    if (inode->layout == PN_EROFS_LAYOUT_CHUNK && type != PN_MODE_REG)
        return refuse_layout(reader, inode);
    if (type == PN_MODE_CHR || type == PN_MODE_BLK)
        inode->rdev = i_u;
    if (type != PN_MODE_REG && type != PN_MODE_DIR && type != PN_MODE_LNK)
        return 0;
    if (inode->layout == PN_EROFS_LAYOUT_CHUNK) {
        if (inode->size == 0)
            return refuse_layout(reader, inode);
        return check_chunks(reader, data_offset, i_u, inode);
    }
    if (inode->size == 0)
        return 0;

    inode->head_size = inode->size;
    if (inode->layout == PN_EROFS_LAYOUT_FLAT_INLINE) {
        inode->tail_size = inode->size & PN_EROFS_BLOCK_MASK;
        inode->head_size = inode->size - inode->tail_size;
        if (inode->tail_size == 0)
            return pn_refuse(reader->failure, -EINVAL, inode->offset, "erofs.tail-size",
                             "%llu bytes leave nothing for the inline tail", (unsigned long long)inode->size);
        if (inode->tail_size > reader->size - data_offset)
            return pn_refuse(reader->failure, -EINVAL, inode->offset, "erofs.data-range",
                             "the inline tail reaches behind the end of the image");
        if (data_offset % PN_EROFS_BLOCK + inode->tail_size > PN_EROFS_BLOCK)
            return pn_refuse(reader->failure, -EINVAL, inode->offset, "erofs.tail-crosses-block",
                             "%u inline bytes at %llu cross a block border", inode->tail_size,
                             (unsigned long long)data_offset);
        inode->end = data_offset + inode->tail_size;
    }
    if (inode->head_size != 0) {
        inode->head_offset = (uint64_t)i_u << PN_EROFS_BLOCK_BITS;
        if (i_u == 0 || inode->head_offset > reader->size || inode->head_size > reader->size - inode->head_offset)
            return pn_refuse(reader->failure, -EINVAL, inode->offset, "erofs.data-range",
                             "%llu bytes from block %u on lie outside the image", (unsigned long long)inode->head_size,
                             i_u);
    }
    return 0;
}
