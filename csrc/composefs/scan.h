/* SPDX-License-Identifier: MIT
 *
 * Reading a directory tree: what the files of the scan share. Threads take directories from a queue, list them, and
 * read every entry that is not a directory; when the queue is empty, one thread turns the records into a pn_tree.
 */
#ifndef PN_COMPOSEFS_SCAN_H
#define PN_COMPOSEFS_SCAN_H

#include <pthread.h>
#include <stdatomic.h>

#include "../verity/batch.h"
#include "../verity/plan.h"
#include "tree.h"

enum {
    PN_SCAN_NO_XATTRS = 1,
    PN_SCAN_USER_XATTRS = 2,
    PN_SCAN_NO_DEVICES = 4,
    PN_SCAN_EPOCH = 8,
    PN_SCAN_HARDLINKS = 16,
    PN_SCAN_FLAGS = 31,
};

enum {
    PN_INLINE_MAX = 64,        /* larger files live in the object store */
    PN_ANCHOR_PATH = 2048,     /* longer relative paths start again from a directory kept open */
    PN_SHARED_FROM = 64 << 20, /* larger files are left for the end, where all threads share each */
    PN_SHARED_MAX = 64,        /* but only so many: each costs a descriptor until then */
};

/* A directory that stays open while directories below it wait, because a path from the root would be too long. */
struct pn_anchor {
    int fd;
    _Atomic unsigned users;
};

struct pn_scan_directory;

struct pn_scan_entry {
    const char *name;
    const uint8_t *data; /* symlink target or inline content */
    struct pn_scan_directory *directory;
    struct pn_xattr_input *xattrs;
    struct pn_node_info info;
    uint64_t device, inode; /* with PN_SCAN_HARDLINKS, of files with several names */
    uint32_t data_size;
    uint16_t xattr_count;
    uint8_t name_size;
    uint8_t skipped;
    uint8_t digest[PN_DIGEST_SIZE];
};

struct pn_scan_directory {
    struct pn_scan_directory *next; /* in the queue */
    struct pn_scan_directory *all;  /* every directory, for freeing */
    struct pn_scan_entry *self;     /* filled when the directory is opened */
    struct pn_anchor *anchor;
    char *path; /* relative to the anchor; "" is the anchor itself */
    struct pn_scan_entry *entries;
    uint32_t count;
};

struct pn_scan {
    struct pn_plan plan;
    uint32_t flags;
    int store, staging;
    uint64_t *progress;
    pthread_mutex_t lock; /* queue, all, idle, the failure, large */
    pthread_cond_t wake;
    struct pn_scan_directory *queue, *all, *root;
    struct pn_scan_entry root_entry;
    unsigned threads, idle;
    int done;
    _Atomic int error;
    struct pn_failure *failure;
    struct pn_scan_large *large;
    unsigned large_count;
};

/* A file to be hashed by all threads together once the walk is over; kept open. */
struct pn_scan_large {
    struct pn_scan_large *next;
    const struct pn_scan_directory *directory;
    struct pn_scan_entry *entry;
    int fd;
};

struct pn_scan_worker {
    struct pn_scan *scan;
    struct pn_arena arena; /* names, targets, contents, attributes; lives until the tree is written */
    struct pn_batch *batch;
    uint8_t *listing; /* getdents64 buffer */
    char *xattr_names;
    uint64_t files, bytes; /* not yet added to the progress */
};

enum { PN_LISTING_BYTES = 64 << 10, PN_XATTR_LIST_MAX = 64 << 10 };

/* Remembers the first error and where it happened; every thread stops at its next entry. Returns `error`. What vanished
 * or became something else since it was listed gets the code for a change, whatever `code` says. */
int pn_scan_fail(struct pn_scan *scan, int error, const char *code, const struct pn_scan_directory *in,
                 const char *name, const char *attempt);
#define PN_SCAN_READ "composefs.read"
#define PN_SCAN_STORE "composefs.store"
#define PN_SCAN_CHANGED "composefs.changed"
#define PN_SCAN_MEMORY "composefs.memory"
#define PN_SCAN_CANCELLED "composefs.cancelled"

/* The word that the caller sets to cancel, for what takes long; or NULL. */
static inline const uint64_t *pn_scan_stop(const struct pn_scan *scan)
{
    return scan->progress ? &scan->progress[2] : NULL;
}

/* Everything about one entry of the open directory `fd`; `type` is its DT_* or 0. */
int pn_scan_entry(struct pn_scan_worker *worker, struct pn_scan_directory *directory, int fd,
                  struct pn_scan_entry *entry, unsigned char type);

/* What stat and the attribute list say, for an open file or directory (`path` NULL) or by path without following links.
 */
int pn_scan_attributes(struct pn_scan_worker *worker, struct pn_scan_directory *directory, int fd, const char *path,
                       struct pn_scan_entry *entry);
void pn_scan_status(const struct pn_scan *scan, const struct stat *status, struct pn_scan_entry *entry);

/* A flush of a batch: objects that the store lacks go to the staging directory. */
int pn_scan_store_memory(void *scan, const uint8_t *digest, const uint8_t *content, uint64_t size);
/* The same for an open file whose digest is known; if the file changed meanwhile, the digest becomes that of the copy.
 */
int pn_scan_store_file(struct pn_scan *scan, int fd, uint64_t size, unsigned threads, uint8_t *digest);

/* Walks everything; on success every entry has its record and digest. */
int pn_scan_walk(struct pn_scan *scan, struct pn_scan_worker *workers);

/* The records as a tree that borrows their memory. */
int pn_scan_to_tree(struct pn_scan *scan, struct pn_tree **tree);

#endif
