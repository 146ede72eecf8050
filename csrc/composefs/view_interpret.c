/* SPDX-License-Identifier: MIT
 *
 * One inode with its overlayfs attributes -> what a dump says about it.
 *
 *   trusted.overlay.metacopy, .redirect    the file's digest and object path; only on files without data of their own
 *   trusted.overlay.opaque=y               on the root, dropped
 *   trusted.overlay.overlay.whiteout       an empty file that stands for a whiteout: char 0:0 again
 *   trusted.overlay.overlay.whiteouts,     marks that go with it, dropped wherever they are
 *   user.overlay.whiteout, .whiteouts
 *   trusted.overlay.overlay.NAME           trusted.overlay.NAME of the original tree
 *   trusted.overlay.NAME                   anything else would change what overlayfs shows: refused
 */
#include <errno.h>
#include <string.h>

#include "../erofs/xattr_prefix.h"
#include "failure.h"
#include "view.h"

#define OVERLAY "overlay."
#define OVERLAY_SIZE 8u
#define METACOPY_SIZE 36u

struct overlay_marks {
    const struct pn_erofs_xattr *metacopy;
    const struct pn_erofs_xattr *redirect;
    int is_whiteout;
};

static int is_name(const struct pn_erofs_xattr *xattr, uint32_t skip, const char *name)
{
    size_t size = strlen(name);
    return xattr->name_size - skip == size && memcmp(xattr->name + skip, name, size) == 0;
}

static int32_t refuse(const struct pn_erofs_reader *reader, const uint8_t *where, const char *code, const char *message)
{
    return pn_refuse(reader->failure, -EINVAL, (uint64_t)(where - reader->image), code, "%s", message);
}

/* Puts the attribute where it belongs. 1: it is the tree's own and stays in the list. */
static int32_t sort_out(const struct pn_erofs_reader *reader, const struct pn_view_entry *entry, int is_root,
                        struct pn_erofs_xattr *xattr, struct overlay_marks *marks)
{
    if ((xattr->index != PN_EROFS_XATTR_INDEX_TRUSTED && xattr->index != PN_EROFS_XATTR_INDEX_USER) ||
        xattr->name_size < OVERLAY_SIZE || memcmp(xattr->name, OVERLAY, OVERLAY_SIZE) != 0)
        return 1;
    if (xattr->index == PN_EROFS_XATTR_INDEX_USER)
        return !is_name(xattr, OVERLAY_SIZE, "whiteout") && !is_name(xattr, OVERLAY_SIZE, "whiteouts");
    if (is_name(xattr, OVERLAY_SIZE, "metacopy")) {
        marks->metacopy = xattr;
        return 0;
    }
    if (is_name(xattr, OVERLAY_SIZE, "redirect")) {
        marks->redirect = xattr;
        return 0;
    }
    if (is_root && is_name(xattr, OVERLAY_SIZE, "opaque") && xattr->value_size == 1 && xattr->value[0] == 'y')
        return 0;
    if (xattr->name_size < 2 * OVERLAY_SIZE || memcmp(xattr->name + OVERLAY_SIZE, OVERLAY, OVERLAY_SIZE) != 0)
        return refuse(reader, xattr->name, "composefs.overlay-xattr",
                      "an overlayfs attribute that composefs does not use here");
    if (is_name(xattr, 2 * OVERLAY_SIZE, "whiteouts"))
        return 0;
    /* overlayfs takes only an empty regular file for a whiteout; elsewhere the attribute is just one of the tree's. */
    if (is_name(xattr, 2 * OVERLAY_SIZE, "whiteout") && (entry->inode.mode & PN_MODE_TYPE) == PN_MODE_REG &&
        entry->inode.size == 0) {
        marks->is_whiteout = 1;
        return 0;
    }
    xattr->name += OVERLAY_SIZE;
    xattr->name_size = (uint8_t)(xattr->name_size - OVERLAY_SIZE);
    return 1;
}

static int has_parent_component(const uint8_t *path, uint32_t size)
{
    for (uint32_t i = 0; i + 1 < size; i++)
        if (path[i] == '.' && path[i + 1] == '.' && (i == 0 || path[i - 1] == '/') &&
            (i + 2 == size || path[i + 2] == '/'))
            return 1;
    return 0;
}

static int32_t take_redirect(const struct pn_erofs_reader *reader, struct pn_view_entry *entry,
                             const struct pn_erofs_xattr *redirect)
{
    entry->payload = redirect->value;
    entry->payload_size = redirect->value_size;
    if (entry->payload_size != 0 && entry->payload[0] == '/') {
        entry->payload++;
        entry->payload_size--;
    }
    if (entry->payload_size == 0 || entry->payload_size > PN_VIEW_PAYLOAD_MAX ||
        memchr(entry->payload, 0, entry->payload_size) != NULL)
        return refuse(reader, redirect->value, "composefs.redirect",
                      "an object path that is empty, too long or contains a zero");
    if (has_parent_component(entry->payload, entry->payload_size))
        return refuse(reader, redirect->value, "composefs.redirect", "an object path with a component \"..\"");
    return 0;
}

static int32_t take_metacopy(const struct pn_erofs_reader *reader, struct pn_view_entry *entry,
                             const struct pn_erofs_xattr *metacopy)
{
    static const uint8_t head[4] = {0, METACOPY_SIZE, 0, 1 /* SHA-256 */};
    if (metacopy->value_size == 0)
        return 0;
    if (metacopy->value_size != METACOPY_SIZE || memcmp(metacopy->value, head, sizeof head) != 0)
        return refuse(reader, metacopy->value, "composefs.metacopy",
                      "a metacopy attribute that is neither empty nor a SHA-256 digest");
    entry->digest = metacopy->value + sizeof head;
    return 0;
}

static int32_t interpret_regular(const struct pn_erofs_reader *reader, struct pn_view_entry *entry,
                                 const struct overlay_marks *marks)
{
    const struct pn_erofs_inode *inode = &entry->inode;
    const uint8_t *where = reader->image + inode->offset;
    if (inode->layout == PN_EROFS_LAYOUT_CHUNK) {
        if (marks->metacopy == NULL)
            return refuse(reader, where, "composefs.metacopy-missing",
                          "a file without data that is not marked as kept elsewhere");
        int32_t error = take_metacopy(reader, entry, marks->metacopy);
        if (error == 0 && marks->redirect != NULL)
            error = take_redirect(reader, entry, marks->redirect);
        return error;
    }
    if (marks->metacopy != NULL || marks->redirect != NULL)
        return refuse(reader, where, "composefs.metacopy-data",
                      "a file with data of its own (or none) that is marked as kept elsewhere");
    if (inode->size > PN_VIEW_INLINE_MAX)
        return refuse(reader, where, "composefs.content-size", "more than 5000 bytes of a file in the image");
    entry->has_content = inode->size != 0;
    if (marks->is_whiteout)
        entry->mode = PN_MODE_CHR | (inode->mode & ~PN_MODE_TYPE);
    return 0;
}

static int32_t interpret_symlink(const struct pn_erofs_reader *reader, struct pn_view_entry *entry)
{
    const struct pn_erofs_inode *inode = &entry->inode;
    /* Up to 4095 bytes are one piece: head and tail together would be more than a block. */
    entry->payload = reader->image + (inode->head_size != 0 ? inode->head_offset : inode->tail_offset);
    entry->payload_size = (uint32_t)inode->size;
    if (inode->size == 0 || inode->size > PN_EROFS_SYMLINK_MAX ||
        memchr(entry->payload, 0, entry->payload_size) != NULL)
        return refuse(reader, reader->image + inode->offset, "erofs.symlink",
                      "a symlink target that is empty, longer than 4095 bytes or contains a zero");
    return 0;
}

int32_t pn_view_interpret(struct pn_erofs_reader *reader, struct pn_view_entry *entry, int is_root)
{
    struct overlay_marks marks = {0};
    struct pn_erofs_xattr metacopy, redirect;
    entry->mode = entry->inode.mode;
    entry->size = entry->inode.size;
    entry->payload = NULL;
    entry->payload_size = 0;
    entry->has_content = 0;
    entry->digest = NULL;
    entry->xattr_count = 0;
    int32_t status = pn_erofs_xattrs_load(reader, &entry->inode);
    if (status != 0)
        return status;

    struct pn_erofs_xattr *xattrs = reader->xattrs;
    uint32_t kept = 0;
    uint64_t total = PN_EROFS_XATTR_HEADER;
    for (uint32_t i = 0; i < reader->xattr_count; i++) {
        status = sort_out(reader, entry, is_root, &xattrs[i], &marks);
        if (status < 0)
            return status;
        /* The list is closed up while it is read, so what is pointed to must be copied out of it. */
        if (marks.metacopy == &xattrs[i]) {
            metacopy = xattrs[i];
            marks.metacopy = &metacopy;
        }
        if (marks.redirect == &xattrs[i]) {
            redirect = xattrs[i];
            marks.redirect = &redirect;
        }
        if (status == 0)
            continue;
        total +=
            7u + pn_erofs_xattr_prefixes[xattrs[i].index].size + (uint64_t)xattrs[i].name_size + xattrs[i].value_size;
        xattrs[kept++] = xattrs[i];
    }
    if (total > PN_VIEW_XATTRS_MAX)
        return refuse(reader, reader->image + entry->inode.xattr_offset, "composefs.xattr-size",
                      "more than 65535 bytes of xattrs on one inode");
    entry->xattrs = xattrs;
    entry->xattr_count = kept;

    uint32_t type = entry->inode.mode & PN_MODE_TYPE;
    if (type == PN_MODE_REG)
        return interpret_regular(reader, entry, &marks);
    if (marks.metacopy != NULL || marks.redirect != NULL)
        return refuse(reader, reader->image + entry->inode.xattr_offset, "composefs.redirect-type",
                      "only a regular file can be kept elsewhere");
    return type == PN_MODE_LNK ? interpret_symlink(reader, entry) : 0;
}
