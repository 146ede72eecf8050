/* SPDX-License-Identifier: MIT
 *
 * The dump: one line per entry, fields separated by single spaces.
 *
 *   PATH SIZE MODE NLINK UID GID RDEV MTIME PAYLOAD CONTENT DIGEST [XATTR=VALUE]...
 *
 * A further name of an inode has its MODE begin with '@' and the path of the first name as PAYLOAD.
 */
#include <errno.h>
#include <stdlib.h>

#include "../erofs/xattr_prefix.h"
#include "failure.h"
#include "hex.h"
#include "print.h"

/* Separators, numbers and digest of a line: everything that does not depend on the entry. */
#define LINE_FIXED 320u

static uint64_t worst_case(const struct pn_view_entry *entry, uint64_t path_size)
{
    uint64_t bytes = entry->payload_size;
    if (entry->has_content)
        bytes += entry->size;
    for (uint32_t i = 0; i < entry->xattr_count; i++)
        bytes += 32u + 2 * PN_ESCAPED_SLACK + (uint64_t)entry->xattrs[i].name_size + entry->xattrs[i].value_size;
    return LINE_FIXED + path_size + PN_ESCAPED_MAX * bytes + 8 * PN_ESCAPED_SLACK;
}

static uint8_t *put_content(uint8_t *out, const struct pn_view *view)
{
    const struct pn_erofs_inode *inode = &view->entry.inode;
    const uint8_t *image = view->reader.image;
    if (!view->entry.has_content) {
        *out++ = '-';
        return out;
    }
    if (inode->head_size == 0)
        return pn_put_optional(out, image + inode->tail_offset, inode->tail_size);
    if (inode->tail_size == 0)
        return pn_put_optional(out, image + inode->head_offset, inode->head_size);
    out = pn_put_escaped(out, image + inode->head_offset, inode->head_size, PN_ESCAPE_FIELD);
    return pn_put_escaped(out, image + inode->tail_offset, inode->tail_size, PN_ESCAPE_FIELD);
}

static uint8_t *put_xattrs(uint8_t *out, const struct pn_view_entry *entry)
{
    for (uint32_t i = 0; i < entry->xattr_count; i++) {
        const struct pn_erofs_xattr *xattr = &entry->xattrs[i];
        const struct pn_erofs_prefix *prefix = &pn_erofs_xattr_prefixes[xattr->index];
        *out++ = ' ';
        memcpy(out, prefix->text, sizeof prefix->text);
        out = pn_put_escaped(out + prefix->size, xattr->name, xattr->name_size, PN_ESCAPE_XATTR);
        *out++ = '=';
        out = pn_put_escaped(out, xattr->value, xattr->value_size, PN_ESCAPE_XATTR);
    }
    return out;
}

static uint8_t *put_numbers(uint8_t *out, const struct pn_view_entry *entry)
{
    const struct pn_erofs_inode *inode = &entry->inode;
    const uint32_t fields[4] = {inode->nlink, inode->uid, inode->gid, inode->rdev};
    *out++ = ' ';
    out = pn_put_decimal(out, entry->size);
    *out++ = ' ';
    if (entry->is_link)
        *out++ = '@';
    out = pn_put_octal(out, entry->mode);
    for (uint32_t i = 0; i < 4; i++) {
        *out++ = ' ';
        out = pn_put_decimal(out, fields[i]);
    }
    *out++ = ' ';
    uint64_t seconds = (uint64_t)inode->mtime_s;
    if (inode->mtime_s < 0) {
        *out++ = '-';
        seconds = 0 - seconds;
    }
    out = pn_put_decimal(out, seconds);
    *out++ = '.';
    out = pn_put_decimal(out, inode->mtime_ns);
    *out++ = ' ';
    return out;
}

/* The path of the first name is taken from its line, where it stands escaped already. */
static uint64_t first_path_size(const struct pn_text *text, uint64_t start)
{
    const uint8_t *line = text->buffer->data + start;
    const uint8_t *end = memchr(line, ' ', (size_t)(text->buffer->size - start));
    return (uint64_t)(end - line);
}

/* `first_lines`: where in the text the line of each inode's first name begins, by position of the inode, plus 1. */
static int32_t print_line(const struct pn_view *view, const struct pn_path *path, uint64_t *first_lines,
                          struct pn_text *text)
{
    const struct pn_view_entry *entry = &view->entry;
    uint64_t slot = entry->inode.offset / PN_EROFS_SLOT;
    uint64_t first_start = 0, first_size = 0;
    if (entry->is_link) {
        first_start = first_lines[slot] - 1;
        first_size = first_path_size(text, first_start);
    } else {
        first_lines[slot] = text->buffer->size + 1;
    }
    int32_t error = 0;
    uint8_t *out = pn_text_room(text, worst_case(entry, path->size + first_size), entry->inode.offset, &error);
    if (out == NULL)
        return error;

    if (entry->depth == 0) {
        *out++ = '/';
    } else {
        memcpy(out, path->data, (size_t)path->size);
        out += path->size;
    }
    out = put_numbers(out, entry);
    if (entry->is_link) {
        memcpy(out, text->buffer->data + first_start, (size_t)first_size);
        out += first_size;
    } else if (entry->payload != NULL) {
        out = pn_put_optional(out, entry->payload, entry->payload_size);
    } else {
        *out++ = '-';
    }
    *out++ = ' ';
    out = put_content(out, view);
    *out++ = ' ';
    if (entry->digest != NULL)
        out = pn_hex_encode(out, entry->digest, PN_VIEW_DIGEST_SIZE);
    else
        *out++ = '-';
    out = put_xattrs(out, entry);
    *out++ = '\n';
    pn_text_commit(text, out);
    return 0;
}

int32_t pn_print_dump(struct pn_view *view, struct pn_text *text)
{
    struct pn_path path = {0};
    uint64_t *first_lines = calloc((size_t)(view->reader.size / PN_EROFS_SLOT) + 1, sizeof *first_lines);
    int32_t status = 0;
    if (first_lines == NULL)
        return pn_refuse(text->failure, -ENOMEM, 0, "composefs.memory", "out of memory");
    while (status == 0 && (status = pn_view_next(view)) == 1) {
        status = pn_path_follow(&path, &view->entry, PN_ESCAPE_FIELD, text->failure);
        if (status == 0)
            status = print_line(view, &path, first_lines, text);
    }
    pn_path_free(&path);
    free(first_lines);
    return status;
}
