/* SPDX-License-Identifier: MIT
 *
 * What an EROFS image means as a composefs tree: the overlayfs rewriting of the writer undone, entry by entry.
 *
 * Entries come parents first, siblings in byte order, the root first of all. The 256 stubs of the root (whiteouts that
 * keep the object store's directories out of sight) are left out. Where an attribute would make overlayfs show another
 * tree than the one handed out here, the image is refused.
 *
 *     struct pn_view view;
 *     int32_t status = pn_view_open(&view, image, size, NULL, failure);
 *     while (status == 0 && (status = pn_view_next(&view)) == 1) { use(&view.entry); status = 0; }
 *     pn_view_close(&view);
 */
#ifndef PN_COMPOSEFS_VIEW_H
#define PN_COMPOSEFS_VIEW_H

#include <stdint.h>

#include "../erofs/reader.h"

#define PN_VIEW_DIGEST_SIZE 32u
#define PN_VIEW_INLINE_MAX 5000u
#define PN_VIEW_PAYLOAD_MAX 4095u
/* The sum over the kept xattrs of 7 + name + value, and 12 once. */
#define PN_VIEW_XATTRS_MAX 65535u

struct pn_view_entry {
    const uint8_t *name; /* NULL for the root */
    uint32_t name_size;
    uint32_t depth;   /* 0 for the root */
    uint32_t is_link; /* a further name of an inode that came before, which everything below describes */
    uint32_t mode;    /* 020000 and permissions for a whiteout */
    uint64_t size;
    const uint8_t *payload; /* symlink target or object path, NULL if there is none; points into the image */
    uint32_t payload_size;
    uint32_t has_content;                /* inode.head and inode.tail are the file's bytes */
    const uint8_t *digest;               /* PN_VIEW_DIGEST_SIZE bytes or NULL */
    const struct pn_erofs_xattr *xattrs; /* without those of the rewriting; valid until the next entry */
    uint32_t xattr_count;
    struct pn_erofs_inode inode; /* size and mode as stored */
};

struct pn_view {
    struct pn_erofs_reader reader;
    struct pn_erofs_directory *open; /* from the root to the one at hand */
    uint64_t depth;                  /* how many */
    uint64_t open_room;
    const char *filters;
    uint32_t started;
    uint32_t bare_links; /* set by who walks: only name and inode of links are wanted */
    struct pn_view_entry entry;
};

/* `filters`: NUL-separated names, an empty one ends them; the only children of the root to be visited. NULL or no
 * names: all. pn_view_close must follow, whatever is returned. */
int32_t pn_view_open(struct pn_view *view, const uint8_t *image, uint64_t size, const char *filters,
                     struct pn_failure *failure);
/* 1: view->entry is the next one; 0: that was all; negative: refused. */
int32_t pn_view_next(struct pn_view *view);
void pn_view_close(struct pn_view *view);

/* Undoes the rewriting for the inode in `entry`; `is_root` allows what only the root may have. */
int32_t pn_view_interpret(struct pn_erofs_reader *reader, struct pn_view_entry *entry, int is_root);

/* A regular file kept in the object store; its payload may repeat. Stops with what `found` returns if not 0. */
typedef int32_t (*pn_view_object_fn)(void *context, const uint8_t *payload, uint32_t payload_size,
                                     const uint8_t *digest);
int32_t pn_view_each_object(struct pn_view *view, pn_view_object_fn found, void *context);

#endif
