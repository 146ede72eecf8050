/* SPDX-License-Identifier: MIT
 *
 * The walk over a composefs image: depth first with a stack of our own, every inode at most once.
 */
#include "view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../erofs/format.h"
#include "failure.h"

static int32_t refuse(struct pn_view *view, uint64_t where, const char *code, const char *message)
{
    return pn_refuse(view->reader.failure, -EINVAL, where, code, "%s", message);
}

int32_t pn_view_open(struct pn_view *view, const uint8_t *image, uint64_t size, const char *filters,
                     struct pn_failure *failure)
{
    memset(view, 0, sizeof *view);
    int32_t error = pn_erofs_open(&view->reader, image, size, failure);
    if (error != 0)
        return error;
    if (filters != NULL && filters[0] != '\0')
        view->filters = filters;
    for (const char *name = view->filters; name != NULL && *name != '\0'; name += strlen(name) + 1)
        if (strchr(name, '/') != NULL)
            return refuse(view, 0, "composefs.filter", "a filter is the name of an entry of the root, not a path");
    return 0;
}

void pn_view_close(struct pn_view *view)
{
    pn_erofs_close(&view->reader);
    free(view->open);
    memset(view, 0, sizeof *view);
}

static int32_t enter(struct pn_view *view, const struct pn_erofs_inode *inode)
{
    uint64_t parent = view->depth == 0 ? inode->nid : view->open[view->depth - 1].nid;
    if (view->depth == view->open_room) {
        uint64_t capacity = view->open_room == 0 ? 32 : 2 * view->open_room;
        if (capacity > SIZE_MAX / sizeof *view->open)
            return pn_refuse(view->reader.failure, -ENOMEM, inode->offset, "erofs.memory", "out of memory");
        struct pn_erofs_directory *grown = realloc(view->open, (size_t)capacity * sizeof *grown);
        if (grown == NULL)
            return pn_refuse(view->reader.failure, -ENOMEM, inode->offset, "erofs.memory", "out of memory");
        view->open = grown;
        view->open_room = capacity;
    }
    int32_t error = pn_erofs_directory_open(&view->reader, inode, parent, &view->open[view->depth]);
    if (error == 0)
        view->depth++;
    return error;
}

static int32_t start(struct pn_view *view)
{
    struct pn_view_entry *entry = &view->entry;
    uint64_t where = PN_EROFS_SUPER_OFFSET + PN_EROFS_SB_ROOT_NID;
    view->started = 1;
    int32_t error = pn_erofs_inode_load(&view->reader, view->reader.root_nid, where, &entry->inode);
    if (error != 0)
        return error;
    if ((entry->inode.mode & PN_MODE_TYPE) != PN_MODE_DIR)
        return refuse(view, entry->inode.offset, "erofs.root-type", "the root is not a directory");
    error = pn_erofs_inode_visit(&view->reader, &entry->inode);
    if (error == 0)
        error = pn_view_interpret(&view->reader, entry, 1);
    if (error == 0)
        error = enter(view, &entry->inode);
    return error == 0 ? 1 : error;
}

static int is_selected(const struct pn_view *view, const struct pn_erofs_dirent *dirent)
{
    if (view->filters == NULL || view->depth != 1)
        return 1;
    for (const char *name = view->filters; *name != '\0'; name += strlen(name) + 1)
        if (strlen(name) == dirent->name_size && memcmp(name, dirent->name, dirent->name_size) == 0)
            return 1;
    return 0;
}

static int is_hex_digit(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* A stored character device 0:0 is a whiteout to overlayfs. The writer makes them for the root's stubs only, and a
 * whiteout anywhere else would not survive a rebuild of the image from its dump. */
static int32_t check_stub(struct pn_view *view, const struct pn_erofs_dirent *dirent,
                          const struct pn_erofs_inode *inode)
{
    if (view->depth != 1 || dirent->name_size != 2 || !is_hex_digit(dirent->name[0]) || !is_hex_digit(dirent->name[1]))
        return refuse(view, dirent->offset, "composefs.whiteout-place",
                      "a whiteout that is not one of the root's stubs 00 to ff");
    if (inode->nlink != 1)
        return refuse(view, inode->offset, "composefs.whiteout-link", "a whiteout with several links");
    return 0;
}

/* 1: view->entry is ready; 0: the entry is a stub, which nobody gets to see. */
static int32_t take(struct pn_view *view, const struct pn_erofs_dirent *dirent)
{
    struct pn_view_entry *entry = &view->entry;
    struct pn_erofs_inode *inode = &entry->inode;
    int32_t status = pn_erofs_inode_load(&view->reader, dirent->nid, dirent->offset, inode);
    if (status != 0)
        return status;
    if (dirent->type != pn_erofs_file_type(inode->mode))
        return pn_refuse(view->reader.failure, -EINVAL, dirent->offset, "erofs.dirent-type",
                         "the directory says type %u, the inode has mode %o", dirent->type, inode->mode);
    status = pn_erofs_inode_visit(&view->reader, inode);
    if (status < 0)
        return status;
    int is_directory = (inode->mode & PN_MODE_TYPE) == PN_MODE_DIR;
    int is_stub = (inode->mode & PN_MODE_TYPE) == PN_MODE_CHR && inode->rdev == 0;
    if (status == 1 && is_directory)
        return refuse(view, dirent->offset, "composefs.directory-twice", "a directory that can be reached twice");
    if (status == 1 && is_stub)
        return refuse(view, dirent->offset, "composefs.whiteout-link", "a whiteout with several links");
    if (is_stub && (status = check_stub(view, dirent, inode)) != 0)
        return status;
    entry->name = dirent->name;
    entry->name_size = dirent->name_size;
    entry->depth = (uint32_t)view->depth;
    entry->is_link = status == 1;
    /* A name takes some ten bytes of the image, the attributes behind it many thousands: looking at them again for
     * every name would not be linear. Only a dump has to, and pays with text, which is limited. */
    if (entry->is_link && view->bare_links)
        return 1;
    status = pn_view_interpret(&view->reader, entry, 0);
    if (status == 0 && is_directory)
        status = enter(view, inode);
    if (status != 0)
        return status;
    return !is_stub;
}

int32_t pn_view_next(struct pn_view *view)
{
    struct pn_erofs_dirent dirent;
    if (!view->started)
        return start(view);
    while (view->depth != 0) {
        int32_t status = pn_erofs_directory_next(&view->reader, &view->open[view->depth - 1], &dirent);
        if (status == 0) {
            view->depth--;
            continue;
        }
        if (status == 1 && !is_selected(view, &dirent))
            continue;
        if (status == 1)
            status = take(view, &dirent);
        if (status != 0)
            return status;
    }
    return 0;
}

int32_t pn_view_each_object(struct pn_view *view, pn_view_object_fn found, void *context)
{
    const struct pn_view_entry *entry = &view->entry;
    int32_t status;
    view->bare_links = 1;
    while ((status = pn_view_next(view)) == 1) {
        if (entry->is_link || entry->payload == NULL || (entry->mode & PN_MODE_TYPE) != PN_MODE_REG)
            continue;
        status = found(context, entry->payload, entry->payload_size, entry->digest);
        if (status != 0)
            return status;
    }
    return status;
}
