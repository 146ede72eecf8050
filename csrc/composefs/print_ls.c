/* SPDX-License-Identifier: MIT
 *
 * The listing: one path per line without the root; directories end in "/" and a tab, symlinks name their target and
 * files their object. Further names of an inode are bare paths.
 */
#include "print.h"

static uint8_t *put_what(uint8_t *out, const struct pn_view_entry *entry)
{
    uint32_t type = entry->mode & PN_MODE_TYPE;
    const char *mark = type == PN_MODE_LNK ? "\t-> " : "\t@ ";
    if (entry->is_link)
        return out;
    if (type == PN_MODE_DIR) {
        *out++ = '/';
        *out++ = '\t';
    }
    if (entry->payload == NULL)
        return out;
    size_t size = strlen(mark);
    memcpy(out, mark, size);
    return pn_put_escaped(out + size, entry->payload, entry->payload_size, PN_ESCAPE_FIELD);
}

int32_t pn_print_ls(struct pn_view *view, struct pn_text *text)
{
    const struct pn_view_entry *entry = &view->entry;
    struct pn_path path = {0};
    int32_t status = 0;
    view->bare_links = 1;
    while (status == 0 && (status = pn_view_next(view)) == 1) {
        status = pn_path_follow(&path, entry, PN_ESCAPE_PATH, text->failure);
        if (status != 0 || entry->depth == 0)
            continue;
        uint64_t payload_size = entry->is_link ? 0 : entry->payload_size;
        uint64_t worst = path.size + PN_ESCAPED_MAX * payload_size + PN_ESCAPED_SLACK + 16;
        uint8_t *out = pn_text_room(text, worst, entry->inode.offset, &status);
        if (out == NULL)
            continue;
        memcpy(out, path.data, (size_t)path.size);
        out = put_what(out + path.size, entry);
        *out++ = '\n';
        pn_text_commit(text, out);
    }
    pn_path_free(&path);
    return status;
}
