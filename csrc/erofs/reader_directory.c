/* SPDX-License-Identifier: MIT
 *
 * The entries of a directory, block by block. The names of the whole directory must ascend strictly, which is what
 * the kernel's binary search relies on and what makes duplicates impossible. "." and ".." take part in that order.
 */
#include <errno.h>
#include <string.h>

#include "../composefs/failure.h"
#include "format.h"
#include "reader.h"

int32_t pn_erofs_directory_open(struct pn_erofs_reader *reader, const struct pn_erofs_inode *inode, uint64_t parent_nid,
                                struct pn_erofs_directory *directory)
{
    /* Every directory is opened once, but nothing says that two of them have different data. Together they cannot be
     * larger than an honest image, and this is what bounds the work. */
    reader->directory_bytes += inode->head_size + inode->tail_size;
    if (reader->directory_bytes > reader->size)
        return pn_refuse(reader->failure, -EINVAL, inode->offset, "erofs.overlap",
                         "the directories are larger than the image, so some share their data");
    memset(directory, 0, sizeof *directory);
    directory->nid = inode->nid;
    directory->parent_nid = parent_nid;
    directory->head_offset = inode->head_offset;
    directory->head_size = inode->head_size;
    directory->tail_offset = inode->tail_offset;
    directory->tail_size = inode->tail_size;
    return 0;
}

/* 1: the next block is at hand; 0: there is none. */
static int32_t next_block(const struct pn_erofs_reader *reader, struct pn_erofs_directory *directory)
{
    uint64_t done = directory->next_block;
    if (done < directory->head_size) {
        uint64_t left = directory->head_size - done;
        directory->block_offset = directory->head_offset + done;
        directory->block_size = left < PN_EROFS_BLOCK ? (uint32_t)left : PN_EROFS_BLOCK;
    } else if (done - directory->head_size < directory->tail_size) {
        directory->block_offset = directory->tail_offset;
        directory->block_size = directory->tail_size;
    } else {
        return 0;
    }
    directory->next_block = done + directory->block_size;
    directory->index = 0;
    uint32_t names = PN_EROFS_DIRENT_SIZE;
    if (directory->block_size >= PN_EROFS_DIRENT_SIZE)
        names = pn_get_u16(reader->image + directory->block_offset + PN_EROFS_D_NAMEOFF);
    if (names < PN_EROFS_DIRENT_SIZE || names % PN_EROFS_DIRENT_SIZE != 0 || names >= directory->block_size)
        return pn_refuse(reader->failure, -EINVAL, directory->block_offset, "erofs.dirent-block",
                         "a directory block of %u bytes cannot have its names at %u", directory->block_size, names);
    directory->count = names / PN_EROFS_DIRENT_SIZE;
    return 1;
}

static int32_t check_order(const struct pn_erofs_reader *reader, struct pn_erofs_directory *directory,
                           const struct pn_erofs_dirent *dirent)
{
    uint32_t before = directory->previous_size;
    if (before != 0) {
        uint32_t common = before < dirent->name_size ? before : dirent->name_size;
        int order = memcmp(directory->previous_name, dirent->name, common);
        if (order == 0 && before == dirent->name_size)
            return pn_refuse(reader->failure, -EINVAL, dirent->offset, "erofs.dirent-duplicate",
                             "a name that is there twice");
        if (order > 0 || (order == 0 && before > dirent->name_size))
            return pn_refuse(reader->failure, -EINVAL, dirent->offset, "erofs.dirent-order",
                             "a name is not greater than the one before it");
    }
    directory->previous_name = dirent->name;
    directory->previous_size = dirent->name_size;
    return 0;
}

/* 1: it is "." or ".." as it must be; 0: an ordinary name. */
static int32_t check_dots(const struct pn_erofs_reader *reader, struct pn_erofs_directory *directory,
                          const struct pn_erofs_dirent *dirent)
{
    if (dirent->name[0] != '.' || dirent->name_size > 2 || (dirent->name_size == 2 && dirent->name[1] != '.'))
        return 0;
    uint64_t expected = dirent->name_size == 1 ? directory->nid : directory->parent_nid;
    if (dirent->nid != expected || dirent->type != PN_EROFS_FT_DIR)
        return pn_refuse(reader->failure, -EINVAL, dirent->offset, "erofs.dot",
                         "\"%.*s\" points to inode %llu (type %u) instead of directory %llu", (int)dirent->name_size,
                         "..", (unsigned long long)dirent->nid, dirent->type, (unsigned long long)expected);
    directory->dots |= dirent->name_size;
    return 1;
}

static int32_t read_entry(const struct pn_erofs_reader *reader, const struct pn_erofs_directory *directory,
                          struct pn_erofs_dirent *dirent)
{
    const uint8_t *block = reader->image + directory->block_offset;
    const uint8_t *entry = block + directory->index * PN_EROFS_DIRENT_SIZE;
    uint32_t start = pn_get_u16(entry + PN_EROFS_D_NAMEOFF);
    uint32_t end = directory->block_size;
    int is_last = directory->index + 1 == directory->count;
    if (!is_last)
        end = pn_get_u16(entry + PN_EROFS_DIRENT_SIZE + PN_EROFS_D_NAMEOFF);
    dirent->offset = (uint64_t)(entry - reader->image);
    if (start < directory->count * PN_EROFS_DIRENT_SIZE || start >= end || end > directory->block_size)
        return pn_refuse(reader->failure, -EINVAL, dirent->offset, "erofs.dirent-name",
                         "a name from %u to %u in a directory block of %u bytes", start, end, directory->block_size);
    dirent->nid = pn_get_u64(entry + PN_EROFS_D_NID);
    dirent->type = entry[PN_EROFS_D_TYPE];
    dirent->name = block + start;
    uint32_t size = end - start;
    const uint8_t *nul = memchr(dirent->name, 0, size);
    /* Only the last name of a block has no neighbour that says where it ends. */
    if (nul != NULL && is_last)
        size = (uint32_t)(nul - dirent->name);
    if (size == 0 || size > PN_EROFS_NAME_MAX || (nul != NULL && !is_last) || memchr(dirent->name, '/', size) != NULL)
        return pn_refuse(reader->failure, -EINVAL, dirent->offset, "erofs.dirent-name",
                         "a name of %u bytes that is empty, too long, or contains a slash or a zero", size);
    dirent->name_size = size;
    return 0;
}

int32_t pn_erofs_directory_next(struct pn_erofs_reader *reader, struct pn_erofs_directory *directory,
                                struct pn_erofs_dirent *dirent)
{
    for (;;) {
        int32_t status;
        if (directory->index == directory->count) {
            status = next_block(reader, directory);
            if (status < 0)
                return status;
            if (status == 0)
                break;
        }
        status = read_entry(reader, directory, dirent);
        if (status == 0)
            status = check_order(reader, directory, dirent);
        if (status != 0)
            return status;
        directory->index++;
        status = check_dots(reader, directory, dirent);
        if (status < 0)
            return status;
        if (status == 0)
            return 1;
    }
    if (directory->dots != 3)
        return pn_refuse(reader->failure, -EINVAL, directory->nid * PN_EROFS_SLOT + reader->meta_offset, "erofs.dot",
                         "a directory without \".\" or \"..\"");
    return 0;
}
