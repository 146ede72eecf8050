/* SPDX-License-Identifier: MIT
 *
 * A directory on disk to its composefs image or dump text.
 */
#include "scan.h"

#include "../verity/digest.h"
#include "failure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static int start_worker(struct pn_scan *scan, struct pn_scan_worker *worker)
{
    worker->scan = scan;
    worker->listing = malloc(PN_LISTING_BYTES);
    worker->xattr_names = malloc(PN_XATTR_LIST_MAX);
    if (!worker->listing || !worker->xattr_names)
        return -ENOMEM;
    int error = pn_batch_new(&scan->plan, &worker->batch);
    if (!error && scan->staging >= 0)
        pn_batch_on_flush(worker->batch, pn_scan_store_memory, scan);
    return error;
}

/* What only the walk needs; the arenas stay, because the tree borrows from them. */
static void stop_worker(struct pn_scan_worker *worker)
{
    pn_batch_free(worker->batch);
    free(worker->listing);
    free(worker->xattr_names);
}

static int start_root(struct pn_scan *scan, int directory)
{
    struct pn_anchor *anchor = malloc(sizeof(*anchor));
    scan->root = calloc(1, sizeof(*scan->root));
    if (scan->root)
        scan->root->path = calloc(1, 1);
    if (!anchor || !scan->root || !scan->root->path) {
        free(anchor);
        if (scan->root)
            free(scan->root->path);
        free(scan->root);
        return -ENOMEM;
    }
    scan->root->self = &scan->root_entry;
    scan->queue = scan->all = scan->root;
    anchor->fd = fcntl(directory, F_DUPFD_CLOEXEC, 0);
    if (anchor->fd < 0) { /* the walk, which lets go of anchors, will not happen */
        int error = -errno;
        free(anchor);
        return error;
    }
    atomic_init(&anchor->users, 1);
    scan->root->anchor = anchor;
    return 0;
}

static void free_entries(struct pn_scan *scan)
{
    free(scan->root_entry.xattrs);
    for (struct pn_scan_directory *directory = scan->all, *next; directory; directory = next) {
        next = directory->all;
        for (uint32_t i = 0; i < directory->count; i++)
            free(directory->entries[i].xattrs);
        free(directory->entries);
        free(directory->path);
        free(directory);
    }
}

static int write_result(struct pn_scan *scan, uint32_t what, uint32_t min_version, uint32_t max_version,
                        struct pn_buffer *result)
{
    struct pn_tree *tree;
    int error = pn_scan_to_tree(scan, &tree);
    if (error)
        return error;
    error = what == 0 ? pn_composefs_write_image(tree, min_version, max_version, result, scan->failure)
                      : pn_tree_to_dump(tree, result);
    pn_tree_free(tree);
    return error;
}

int32_t pn_composefs_from_directory(int32_t directory, uint32_t what, uint32_t flags, uint32_t threads,
                                    uint32_t min_version, uint32_t max_version, int32_t store, int32_t staging,
                                    uint64_t *progress, struct pn_buffer *result, struct pn_failure *failure)
{
    struct pn_scan scan = {.flags = flags,
                           .store = store,
                           .staging = staging,
                           .progress = progress,
                           .failure = failure,
                           .threads = pn_thread_count(threads),
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .wake = PTHREAD_COND_INITIALIZER};
    unsigned ready = 0;
    memset(result, 0, sizeof(*result));
    if (failure)
        memset(failure, 0, sizeof(*failure));
    if (what > 1)
        return pn_refuse(failure, -EINVAL, what, "composefs.text-kind", "expected an image (0) or a dump (1), found %u",
                         what);
    if (flags & ~(uint32_t)PN_SCAN_FLAGS)
        return pn_refuse(failure, -EINVAL, 0, "composefs.flags", "expected known flags, found %u", flags);
    struct pn_scan_worker *workers = calloc(scan.threads, sizeof(*workers));
    int error = workers ? pn_plan_init(&scan.plan, PN_SHA256, 4096, NULL, 0) : -ENOMEM;
    while (!error && ready < scan.threads)
        error = start_worker(&scan, &workers[ready++]);
    if (!error)
        error = start_root(&scan, directory);
    if (!error)
        error = pn_scan_walk(&scan, workers);
    for (unsigned i = 0; i < ready; i++)
        stop_worker(&workers[i]);
    if (!error)
        error = write_result(&scan, what, min_version, max_version, result);
    if (error && failure && !failure->code[0])
        pn_refuse(failure, error, 0, error == -ENOMEM ? PN_SCAN_MEMORY : "composefs.tree", "%s", strerror(-error));
    free_entries(&scan);
    for (unsigned i = 0; i < ready; i++)
        pn_arena_free(&workers[i].arena);
    free(workers);
    return error;
}
