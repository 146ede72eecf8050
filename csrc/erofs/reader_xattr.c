/* SPDX-License-Identifier: MIT
 *
 * Extended attributes of an inode: the entries behind it, and those it shares with others.
 *
 * Beyond ranges, two things are checked because a reader and the kernel would otherwise see different attributes:
 * each list ascends strictly by full name and the two have no name in common (of duplicates the kernel takes the
 * first), and the name filter admits every name (the kernel does not even look for a name that is filtered out).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../composefs/failure.h"
#include "format.h"
#include "reader.h"
#include "xattr_prefix.h"
#include "xxh32.h"

#define FULL_NAME_MAX 255u

/* -- names --------------------------------------------------------------------------------------------------------- */
static uint8_t name_byte(const struct pn_erofs_xattr *xattr, uint32_t position)
{
    const struct pn_erofs_prefix *prefix = &pn_erofs_xattr_prefixes[xattr->index];
    return position < prefix->size ? (uint8_t)prefix->text[position] : xattr->name[position - prefix->size];
}

static int compare_names(const struct pn_erofs_xattr *left, const struct pn_erofs_xattr *right)
{
    uint32_t left_size = left->name_size, right_size = right->name_size;
    if (left->index == right->index) {
        int order = memcmp(left->name, right->name, left_size < right_size ? left_size : right_size);
        return order != 0 ? order : (int)left_size - (int)right_size;
    }
    left_size += pn_erofs_xattr_prefixes[left->index].size;
    right_size += pn_erofs_xattr_prefixes[right->index].size;
    for (uint32_t i = 0; i < left_size && i < right_size; i++) {
        int order = name_byte(left, i) - name_byte(right, i);
        if (order != 0)
            return order;
    }
    return (int)left_size - (int)right_size;
}

/* -- entries ------------------------------------------------------------------------------------------------------- */

/* Reads the entry at `offset`, which must end at `end` at the latest, into the next place of reader->xattrs. */
static int32_t read_entry(struct pn_erofs_reader *reader, uint64_t offset, uint64_t end, uint32_t filter)
{
    struct pn_failure *failure = reader->failure;
    if (end < PN_EROFS_XATTR_ENTRY || offset > end - PN_EROFS_XATTR_ENTRY)
        return pn_refuse(failure, -EINVAL, offset, "erofs.xattr-range", "an xattr entry outside its place");
    const uint8_t *entry = reader->image + offset;
    struct pn_erofs_xattr *xattr = &reader->xattrs[reader->xattr_count];
    xattr->name_size = entry[PN_EROFS_XE_NAME_LEN];
    xattr->index = entry[PN_EROFS_XE_NAME_INDEX];
    xattr->value_size = pn_get_u16(entry + PN_EROFS_XE_VALUE_SIZE);
    xattr->name = entry + PN_EROFS_XATTR_ENTRY;
    xattr->value = xattr->name + xattr->name_size;
    if ((uint32_t)xattr->name_size + xattr->value_size > end - offset - PN_EROFS_XATTR_ENTRY)
        return pn_refuse(failure, -EINVAL, offset, "erofs.xattr-range",
                         "an xattr of %u+%u bytes reaches behind its place", xattr->name_size, xattr->value_size);
    if (xattr->index >= PN_EROFS_XATTR_PREFIXES)
        return pn_refuse(failure, -EOPNOTSUPP, offset, "erofs.xattr-prefix", "unknown name prefix %u", xattr->index);
    uint32_t name_size = xattr->name_size + (uint32_t)pn_erofs_xattr_prefixes[xattr->index].size;
    if (name_size == 0 || name_size > FULL_NAME_MAX || memchr(xattr->name, 0, xattr->name_size) != NULL)
        return pn_refuse(failure, -EINVAL, offset, "erofs.xattr-name",
                         "an xattr name of %u bytes that is empty, too long or contains a zero", name_size);
    /* A name that has a number must use it, or the kernel would not find it under its full name. */
    if (xattr->index == PN_EROFS_XATTR_INDEX_NONE &&
        pn_erofs_xattr_index(xattr->name, xattr->name_size) != PN_EROFS_XATTR_INDEX_NONE)
        return pn_refuse(failure, -EINVAL, offset, "erofs.xattr-prefix",
                         "an xattr name spells out a prefix that has a number");
    if (reader->uses_name_filter) {
        uint32_t hash = pn_xxh32(xattr->name, xattr->name_size, PN_EROFS_XATTR_FILTER_SEED + xattr->index);
        if ((filter >> (hash & 31u) & 1u) != 0)
            return pn_refuse(failure, -EINVAL, offset, "erofs.xattr-filter",
                             "the inode's name filter denies an xattr that is there");
    }
    reader->xattr_count++;
    return 0;
}

static int32_t check_order(const struct pn_erofs_reader *reader, uint32_t first, uint64_t offset)
{
    const struct pn_erofs_xattr *last = &reader->xattrs[reader->xattr_count - 1];
    int order = reader->xattr_count - first >= 2 ? compare_names(last - 1, last) : -1;
    if (order < 0)
        return 0;
    return pn_refuse(reader->failure, -EINVAL, offset, order == 0 ? "erofs.xattr-duplicate" : "erofs.xattr-order",
                     "an xattr name is not greater than the one before it");
}

/* The lists [0, middle) and [middle, count) ascend, so one pass finds a name that is in both. */
static int32_t check_disjoint(const struct pn_erofs_reader *reader, uint32_t middle, uint64_t offset)
{
    uint32_t left = 0, right = middle;
    while (left < middle && right < reader->xattr_count) {
        int order = compare_names(&reader->xattrs[left], &reader->xattrs[right]);
        if (order == 0)
            return pn_refuse(reader->failure, -EINVAL, offset, "erofs.xattr-duplicate", "an xattr name is given twice");
        if (order < 0)
            left++;
        else
            right++;
    }
    return 0;
}

static int32_t make_room(struct pn_erofs_reader *reader, const struct pn_erofs_inode *inode)
{
    /* The smallest entry and the number of a shared one both take 4 bytes. */
    uint32_t most = inode->xattr_size / 4;
    if (most <= reader->xattr_capacity)
        return 0;
    struct pn_erofs_xattr *grown = realloc(reader->xattrs, most * sizeof *grown);
    if (grown == NULL)
        return pn_refuse(reader->failure, -ENOMEM, inode->offset, "erofs.memory", "out of memory");
    reader->xattrs = grown;
    reader->xattr_capacity = most;
    return 0;
}

int32_t pn_erofs_xattrs_load(struct pn_erofs_reader *reader, const struct pn_erofs_inode *inode)
{
    reader->xattr_count = 0;
    if (inode->xattr_size == 0)
        return 0;
    int32_t error = make_room(reader, inode);
    if (error != 0)
        return error;
    const uint8_t *body = reader->image + inode->xattr_offset;
    uint32_t filter = pn_get_u32(body + PN_EROFS_XH_FILTER);
    uint32_t shared = body[PN_EROFS_XH_SHARED_COUNT];
    if (4 * shared > inode->xattr_size - PN_EROFS_XATTR_HEADER)
        return pn_refuse(reader->failure, -EINVAL, inode->xattr_offset, "erofs.xattr-range",
                         "%u shared xattrs do not fit into %u bytes", shared, inode->xattr_size);

    uint64_t end = inode->xattr_offset + inode->xattr_size;
    uint64_t offset = inode->xattr_offset + PN_EROFS_XATTR_HEADER + 4 * shared;
    while (offset < end) {
        error = read_entry(reader, offset, end, filter);
        if (error == 0)
            error = check_order(reader, 0, offset);
        if (error != 0)
            return error;
        const struct pn_erofs_xattr *xattr = &reader->xattrs[reader->xattr_count - 1];
        offset += (PN_EROFS_XATTR_ENTRY + (uint32_t)xattr->name_size + xattr->value_size + 3u) & ~3u;
    }
    uint32_t own = reader->xattr_count;
    for (uint32_t i = 0; i < shared; i++) {
        const uint8_t *number = body + PN_EROFS_XATTR_HEADER + 4 * i;
        offset = reader->xattr_offset + 4 * (uint64_t)pn_get_u32(number);
        if (offset >= reader->size)
            return pn_refuse(reader->failure, -EINVAL, (uint64_t)(number - reader->image), "erofs.xattr-range",
                             "shared xattr %u lies outside the image", pn_get_u32(number));
        error = read_entry(reader, offset, reader->size, filter);
        if (error == 0)
            error = check_order(reader, own, offset);
        if (error != 0)
            return error;
    }
    return check_disjoint(reader, own, inode->xattr_offset);
}
