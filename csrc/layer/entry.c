/* SPDX-License-Identifier: MIT */
#include "entry.h"
#include "../composefs/failure.h"
#include "../composefs/hex.h"
#include "../erofs/xattr_prefix.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static const int64_t first_s = INT64_C(-62135596800), last_s = INT64_C(253402300799); /* the years 1 to 9999 */
static const uint64_t size_max = UINT64_C(1) << 53;

#define REFUSE(code, ...) pn_refuse(view->reader.failure, -EINVAL, view->entry.inode.offset, code, __VA_ARGS__)
#define PATH (int)(entry->name_size < 100 ? entry->name_size : 100), (const char *)entry->name

static int32_t take_name(struct pn_layer_names *names, const struct pn_view *view, struct pn_layer_entry *entry)
{
    const struct pn_view_entry *from = &view->entry;
    const bool is_directory = entry->kind == PN_LAYER_DIRECTORY;
    if (from->depth == 0) {
        entry->name = (const uint8_t *)"./";
        entry->name_size = 2;
        names->lengths[0] = 0;
        return 0;
    }
    /* Every name on the way has at least one byte and a slash, so the depth is bounded by the length. */
    size_t parent = names->lengths[from->depth - 1];
    entry->name = names->path;
    if (parent > PN_LAYER_PATH_MAX || from->name_size > PN_LAYER_PATH_MAX - parent) /* the longest, and its slash */
        return REFUSE("archive.layer.path.long", "a path of more than %d bytes", PN_LAYER_PATH_MAX);
    memcpy(names->path + parent, from->name, from->name_size);
    entry->name_size = parent + from->name_size;
    if (from->name_size >= 4 && memcmp(from->name, ".wh.", 4) == 0)
        return REFUSE("archive.layer.whiteout", "%.*s is a whiteout", PATH);
    if (!pn_text_is_utf8(from->name, from->name_size))
        return REFUSE("archive.layer.path.utf8", "the name %.*s is not UTF-8", PATH);
    if (is_directory) {
        names->path[entry->name_size++] = '/';
        names->lengths[from->depth] = (uint16_t)entry->name_size;
    }
    return 0;
}

static int compare_xattrs(const void *left, const void *right)
{
    const struct pn_layer_xattr *a = left, *b = right;
    size_t least = a->name_size < b->name_size ? a->name_size : b->name_size;
    int order = memcmp(a->name, b->name, least);
    return order ? order : (a->name_size > b->name_size) - (a->name_size < b->name_size);
}

static int32_t take_xattrs(struct pn_layer_names *names, const struct pn_view *view, struct pn_layer_entry *entry)
{
    const struct pn_view_entry *from = &view->entry;
    uint64_t bytes = 0;
    names->xattr_names.size = names->xattrs.size = 0;
    for (uint32_t i = 0; i < from->xattr_count; i++) {
        const struct pn_erofs_xattr *xattr = &from->xattrs[i];
        const struct pn_erofs_prefix *prefix = &pn_erofs_xattr_prefixes[xattr->index];
        uint32_t size = (uint32_t)prefix->size + xattr->name_size;
        bytes += (uint64_t)size + xattr->value_size;
        if (bytes > PN_LAYER_XATTRS_MAX || size == 0 || size > PN_LAYER_NAME_MAX)
            return REFUSE("archive.layer.xattr", "%.*s: its extended attributes are too long", PATH);
        pn_bytes_put(&names->xattr_names, prefix->text, prefix->size);
        pn_bytes_put(&names->xattr_names, xattr->name, xattr->name_size);
        const struct pn_layer_xattr kept = {.value = xattr->value, .name_size = size, .value_size = xattr->value_size};
        pn_bytes_put(&names->xattrs, &kept, sizeof(kept));
    }
    if (names->xattr_names.failed || names->xattrs.failed)
        return pn_refuse(view->reader.failure, -ENOMEM, 0, "module.layer.memory", "out of memory");
    struct pn_layer_xattr *xattrs = (struct pn_layer_xattr *)(void *)names->xattrs.data;
    const uint8_t *name = names->xattr_names.data; /* which does not move any more */
    for (uint32_t i = 0; i < from->xattr_count; name += xattrs[i++].name_size) {
        xattrs[i].name = name;
        if (memchr(name, '=', xattrs[i].name_size) || memchr(name, 0, xattrs[i].name_size))
            return REFUSE("archive.layer.xattr", "%.*s: an attribute that no archive can name", PATH);
        if (!pn_text_is_utf8(name, xattrs[i].name_size))
            return REFUSE("archive.layer.path.utf8", "%.*s: an attribute's name is not UTF-8", PATH);
    }
    if (from->xattr_count > 1)
        qsort(xattrs, from->xattr_count, sizeof(*xattrs), compare_xattrs);
    entry->xattrs = xattrs;
    entry->xattr_count = from->xattr_count;
    return 0;
}

static int32_t take_file(const struct pn_view *view, struct pn_layer_entry *entry)
{
    const struct pn_view_entry *from = &view->entry;
    const struct pn_erofs_inode *inode = &from->inode;
    entry->size = from->size;
    if (from->size > size_max)
        return REFUSE("archive.layer.size", "%.*s: its size is out of range", PATH);
    if (from->size == 0)
        return 0;
    if (from->size <= PN_LAYER_INLINE_MAX) {
        if (!from->has_content || inode->head_size + inode->tail_size != from->size)
            return REFUSE("module.layer.content", "%.*s: its content is not in the image", PATH);
        memcpy(entry->content, view->reader.image + inode->head_offset, (size_t)inode->head_size);
        memcpy(entry->content + inode->head_size, view->reader.image + inode->tail_offset, inode->tail_size);
        return 0;
    }
    uint8_t digest[PN_VIEW_DIGEST_SIZE];
    uint8_t digits[2 * PN_VIEW_DIGEST_SIZE];
    if (!from->digest || from->payload_size != sizeof(digits) + 1 || from->payload[2] != '/')
        return REFUSE("module.layer.digest", "%.*s has no fs-verity digest that names its object", PATH);
    memcpy(digits, from->payload, 2);
    memcpy(digits + 2, from->payload + 3, sizeof(digits) - 2);
    if (pn_hex_decode(digits, sizeof(digest), digest) >= PN_HEX_UPPER || memcmp(digest, from->digest, sizeof(digest)))
        return REFUSE("module.layer.digest", "%.*s is kept under another name than its digest", PATH);
    entry->payload = from->payload;
    entry->digest = from->digest;
    return 0;
}

static int32_t take_target(const struct pn_view *view, struct pn_layer_entry *entry)
{
    entry->target = view->entry.payload;
    entry->target_size = view->entry.payload_size;
    if (entry->target_size == 0 || entry->target_size > PN_LAYER_PATH_MAX ||
        memchr(entry->target, 0, entry->target_size))
        return REFUSE("archive.layer.target", "%.*s is a link to nothing, or to too long a path", PATH);
    if (!pn_text_is_utf8(entry->target, entry->target_size))
        return REFUSE("archive.layer.path.utf8", "%.*s: the target is not UTF-8", PATH);
    return 0;
}

static int32_t count_entry(struct pn_layer_names *names, const struct pn_view *view, const struct pn_layer_entry *entry)
{
    names->kept += entry->name_size + entry->target_size;
    for (uint32_t i = 0; i < entry->xattr_count; i++)
        names->kept += (uint64_t)entry->xattrs[i].name_size + entry->xattrs[i].value_size + PN_LAYER_XATTR_COST;
    if (++names->entries > PN_LAYER_ENTRIES_MAX)
        return REFUSE("archive.layer.entries", "the layer has more than %d entries", PN_LAYER_ENTRIES_MAX);
    if (names->kept > PN_LAYER_NAMES_MAX)
        return REFUSE("archive.layer.names", "names, targets and extended attributes are more than %d bytes",
                      PN_LAYER_NAMES_MAX);
    return 0;
}

int32_t pn_layer_entry(struct pn_layer_names *names, const struct pn_view *view, struct pn_layer_entry *entry)
{
    const struct pn_view_entry *from = &view->entry;
    const struct pn_erofs_inode *inode = &from->inode;
    *entry = (struct pn_layer_entry){.mode = from->mode & 07777,
                                     .uid = inode->uid,
                                     .gid = inode->gid,
                                     .mtime_s = inode->mtime_s,
                                     .where = inode->offset};
    entry->kind = S_ISDIR(from->mode)   ? PN_LAYER_DIRECTORY
                  : S_ISLNK(from->mode) ? PN_LAYER_SYMLINK
                  : S_ISREG(from->mode) ? PN_LAYER_FILE
                                        : 0;
    int32_t error = take_name(names, view, entry);
    if (error)
        return error;
    if (!entry->kind)
        return REFUSE("module.layer.type", "%.*s is no file, directory or symbolic link", PATH);
    if (from->is_link)
        return REFUSE("module.layer.hard-link", "%.*s is a further name of a file", PATH);
    if (inode->mtime_ns)
        return REFUSE("module.layer.time", "%.*s has a time with fractions of a second", PATH);
    if (inode->mtime_s < first_s || inode->mtime_s > last_s)
        return REFUSE("archive.layer.time", "%.*s: its time is none of the years 1 to 9999", PATH);
    if (entry->kind != PN_LAYER_DIRECTORY && inode->nlink != 1)
        return REFUSE("module.layer.not-the-same", "%.*s claims to have %u names", PATH, inode->nlink);
    error = take_xattrs(names, view, entry);
    if (!error && entry->kind != PN_LAYER_DIRECTORY)
        error = entry->kind == PN_LAYER_FILE ? take_file(view, entry) : take_target(view, entry);
    return error ? error : count_entry(names, view, entry);
}

void pn_layer_names_free(struct pn_layer_names *names)
{
    pn_bytes_free(&names->xattr_names);
    pn_bytes_free(&names->xattrs);
}
