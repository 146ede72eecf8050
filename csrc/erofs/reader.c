/* SPDX-License-Identifier: MIT
 *
 * Opening an image: header, superblock, and the two maps over all possible inode positions.
 */
#include "reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../composefs/failure.h"
#include "format.h"

/* Chunk-based files without announcing them is what composefs does; announcing them is what the kernel would like. */
#define INCOMPAT_CHUNKED_FILE 0x4u
/* 0 and 1 are the two versions of the reference writer; 2 is an early layout of another one, read the same way. */
#define COMPOSEFS_VERSION_MAX 2u

static int32_t check_header(const struct pn_erofs_reader *reader)
{
    const uint8_t *image = reader->image;
    struct pn_failure *failure = reader->failure;
    if (reader->size < PN_EROFS_BLOCK)
        return pn_refuse(failure, -EINVAL, reader->size, "erofs.truncated",
                         "an image has at least %u bytes, this one has %llu", PN_EROFS_BLOCK,
                         (unsigned long long)reader->size);
    uint32_t magic = pn_get_u32(image + PN_CFS_HEADER_MAGIC);
    if (magic != PN_CFS_MAGIC)
        return pn_refuse(failure, -EINVAL, PN_CFS_HEADER_MAGIC, "composefs.magic",
                         "no composefs header: magic 0x%08x instead of 0x%08x", magic, PN_CFS_MAGIC);
    uint32_t version = pn_get_u32(image + PN_CFS_HEADER_VERSION);
    if (version != PN_CFS_FORMAT_VERSION)
        return pn_refuse(failure, -EOPNOTSUPP, PN_CFS_HEADER_VERSION, "composefs.version",
                         "format version %u is not supported, only %u", version, PN_CFS_FORMAT_VERSION);
    version = pn_get_u32(image + PN_CFS_HEADER_COMPOSEFS_VERSION);
    if (version > COMPOSEFS_VERSION_MAX)
        return pn_refuse(failure, -EOPNOTSUPP, PN_CFS_HEADER_COMPOSEFS_VERSION, "composefs.version",
                         "composefs version %u is not supported, the highest is %u", version, COMPOSEFS_VERSION_MAX);
    return 0;
}

/* Everything that would change how the rest has to be read is refused by name. */
static int32_t check_features(const struct pn_erofs_reader *reader, const uint8_t *super)
{
    struct pn_failure *failure = reader->failure;
    uint32_t features = pn_get_u32(super + PN_EROFS_SB_FEATURE_INCOMPAT) & ~INCOMPAT_CHUNKED_FILE;
    if (features != 0)
        return pn_refuse(failure, -EOPNOTSUPP, PN_EROFS_SUPER_OFFSET + PN_EROFS_SB_FEATURE_INCOMPAT,
                         "erofs.feature-incompat", "incompatible features 0x%x (compression, devices, ...)", features);
    if (super[PN_EROFS_SB_BLKSZBITS] != PN_EROFS_BLOCK_BITS)
        return pn_refuse(failure, -EOPNOTSUPP, PN_EROFS_SUPER_OFFSET + PN_EROFS_SB_BLKSZBITS, "erofs.block-size",
                         "block size 2^%u instead of 2^12", super[PN_EROFS_SB_BLKSZBITS]);
    const struct {
        uint32_t field;
        uint32_t value;
        const char *code;
    } unused[] = {
        {PN_EROFS_SB_EXTSLOTS, super[PN_EROFS_SB_EXTSLOTS], "erofs.superblock-slots"},
        {PN_EROFS_SB_COMPR, pn_get_u16(super + PN_EROFS_SB_COMPR), "erofs.compression"},
        {PN_EROFS_SB_EXTRA_DEVICES, pn_get_u16(super + PN_EROFS_SB_EXTRA_DEVICES), "erofs.devices"},
        {PN_EROFS_SB_DIRBLKBITS, super[PN_EROFS_SB_DIRBLKBITS], "erofs.directory-blocks"},
        {PN_EROFS_SB_XATTR_PREFIX_COUNT, super[PN_EROFS_SB_XATTR_PREFIX_COUNT], "erofs.xattr-prefix"},
    };
    for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++)
        if (unused[i].value != 0)
            return pn_refuse(failure, -EOPNOTSUPP, PN_EROFS_SUPER_OFFSET + unused[i].field, unused[i].code,
                             "a superblock field that composefs leaves 0 is %u", unused[i].value);
    return 0;
}

static int32_t read_super(struct pn_erofs_reader *reader)
{
    const uint8_t *super = reader->image + PN_EROFS_SUPER_OFFSET;
    struct pn_failure *failure = reader->failure;
    uint32_t magic = pn_get_u32(super + PN_EROFS_SB_MAGIC);
    if (magic != PN_EROFS_SUPER_MAGIC)
        return pn_refuse(failure, -EINVAL, PN_EROFS_SUPER_OFFSET, "erofs.magic", "magic 0x%08x instead of 0x%08x",
                         magic, PN_EROFS_SUPER_MAGIC);
    int32_t error = check_features(reader, super);
    if (error != 0)
        return error;
    uint64_t announced = (uint64_t)pn_get_u32(super + PN_EROFS_SB_BLOCKS) << PN_EROFS_BLOCK_BITS;
    if (announced != reader->size)
        return pn_refuse(failure, -EINVAL, PN_EROFS_SUPER_OFFSET + PN_EROFS_SB_BLOCKS,
                         announced > reader->size ? "erofs.truncated" : "erofs.size",
                         "the superblock announces %llu bytes, the image has %llu", (unsigned long long)announced,
                         (unsigned long long)reader->size);
    reader->meta_offset = (uint64_t)pn_get_u32(super + PN_EROFS_SB_META_BLKADDR) << PN_EROFS_BLOCK_BITS;
    reader->xattr_offset = (uint64_t)pn_get_u32(super + PN_EROFS_SB_XATTR_BLKADDR) << PN_EROFS_BLOCK_BITS;
    if (reader->meta_offset >= reader->size)
        return pn_refuse(failure, -EINVAL, PN_EROFS_SUPER_OFFSET + PN_EROFS_SB_META_BLKADDR, "erofs.meta-range",
                         "the inodes would begin behind the end of the image");
    if (reader->xattr_offset > reader->size) /* where there are none, they begin at the end */
        return pn_refuse(failure, -EINVAL, PN_EROFS_SUPER_OFFSET + PN_EROFS_SB_XATTR_BLKADDR, "erofs.xattr-range",
                         "the shared xattrs would begin behind the end of the image");
    reader->root_nid = pn_get_u16(super + PN_EROFS_SB_ROOT_NID);
    reader->build_time_s = (int64_t)pn_get_u64(super + PN_EROFS_SB_BUILD_TIME);
    reader->build_time_ns = pn_get_u32(super + PN_EROFS_SB_BUILD_TIME_NSEC);
    reader->uses_name_filter =
        (pn_get_u32(super + PN_EROFS_SB_FEATURE_COMPAT) & PN_EROFS_FEATURE_COMPAT_XATTR_FILTER) != 0 &&
        super[PN_EROFS_SB_XATTR_FILTER_RESERVED] == 0;
    return 0;
}

int32_t pn_erofs_open(struct pn_erofs_reader *reader, const uint8_t *image, uint64_t size, struct pn_failure *failure)
{
    memset(reader, 0, sizeof *reader);
    reader->image = image;
    reader->size = size;
    reader->failure = failure;
    int32_t error = check_header(reader);
    if (error == 0)
        error = read_super(reader);
    if (error != 0)
        return error;
    uint64_t words = size / PN_EROFS_SLOT / 64 + 1;
    if (words > SIZE_MAX / sizeof(uint64_t))
        return pn_refuse(failure, -ENOMEM, size, "erofs.memory", "the image is too large for this machine");
    reader->claimed = calloc((size_t)words, sizeof(uint64_t));
    reader->visited = calloc((size_t)words, sizeof(uint64_t));
    if (reader->claimed == NULL || reader->visited == NULL)
        return pn_refuse(failure, -ENOMEM, size, "erofs.memory", "out of memory");
    return 0;
}

void pn_erofs_close(struct pn_erofs_reader *reader)
{
    free(reader->claimed);
    free(reader->visited);
    free(reader->xattrs);
    memset(reader, 0, sizeof *reader);
}
