/* SPDX-License-Identifier: MIT
 *
 * The walk: a last-in-first-out queue of directories and threads that empty it. Depth costs no stack and no file
 * descriptors; directories are opened by their path from the root of the scan, which the kernel's name cache makes
 * cheap.
 */
#include "scan.h"

#include "../verity/digest.h"
#include "../verity/engine.h"
#include "failure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct listed { /* struct linux_dirent64 */
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

int pn_scan_fail(struct pn_scan *scan, int error, const char *code, const struct pn_scan_directory *in,
                 const char *name, const char *attempt)
{
    const int changed = error == -ESTALE || error == -ENOENT || error == -ENOTDIR || error == -ELOOP;
    pthread_mutex_lock(&scan->lock);
    if (!atomic_load(&scan->error)) {
        const char *path = in && in->path ? in->path : "";
        if (changed)
            code = PN_SCAN_CHANGED;
        else if (error == -ENOMEM)
            code = PN_SCAN_MEMORY;
        else if (error == -ECANCELED)
            code = PN_SCAN_CANCELLED;
        pn_refuse(scan->failure, error, 0, code, "%s%s%.80s%s%.70s: %s", attempt, in ? ": " : "", path,
                  *path && name ? "/" : "",
                  name           ? name
                  : in && !*path ? "."
                                 : "",
                  changed ? "it changed meanwhile" : strerror(-error));
        atomic_store(&scan->error, error);
    }
    pthread_cond_broadcast(&scan->wake);
    pthread_mutex_unlock(&scan->lock);
    return error;
}

static void release(struct pn_anchor *anchor)
{
    if (anchor && atomic_fetch_sub(&anchor->users, 1) == 1) {
        close(anchor->fd);
        free(anchor);
    }
}

/* The same where openat2 is missing or forbidden, as in older containers: one name at a time. */
static int open_by_steps(int at, const char *path, int flags)
{
    char name[PN_NAME_MAX + 1];
    int fd = -1;
    for (;;) {
        const size_t size = strcspn(path, "/");
        if (size > PN_NAME_MAX) {
            errno = ENAMETOOLONG;
            break;
        }
        memcpy(name, path, size);
        name[size] = 0;
        int next = openat(fd < 0 ? at : fd, name, flags);
        if (next < 0)
            break;
        if (fd >= 0)
            close(fd);
        fd = next;
        if (!path[size])
            return fd;
        path += size + 1;
    }
    int error = -errno;
    if (fd >= 0)
        close(fd);
    return error;
}

/* No symbolic link may be followed, not even in the middle of the path: somebody may be changing the tree. */
static int open_directory(const struct pn_scan_directory *directory)
{
    const char *path = *directory->path ? directory->path : ".";
    const struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                                 .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
    int fd = (int)syscall(SYS_openat2, directory->anchor->fd, path, &how, sizeof(how));
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return open_by_steps(directory->anchor->fd, path, (int)how.flags);
    if (fd < 0 && (errno == EXDEV || errno == EAGAIN)) /* moved out of the tree while the kernel walked there */
        return -ESTALE;
    return fd < 0 ? -errno : fd;
}

/* Appends what getdents64 returned to the directory's entries; names go to the arena. */
static int take_names(struct pn_scan_worker *worker, struct pn_scan_directory *directory, size_t bytes, uint32_t *room,
                      unsigned char **types)
{
    for (size_t at = 0; at < bytes;) {
        const struct listed *item = (const struct listed *)(const void *)(worker->listing + at);
        const size_t length = strlen(item->name);
        at += item->length;
        if (item->name[0] == '.' && (length == 1 || (length == 2 && item->name[1] == '.')))
            continue;
        if (length > PN_NAME_MAX)
            return -ENAMETOOLONG;
        if (directory->count == *room) {
            uint32_t more = *room ? *room * 2 : 16;
            if (more < *room)
                return -EFBIG;
            void *grown = realloc(directory->entries, (size_t)more * sizeof(*directory->entries));
            if (!grown)
                return -ENOMEM;
            directory->entries = grown;
            void *kinds = realloc(*types, more);
            if (!kinds)
                return -ENOMEM;
            *types = kinds;
            *room = more;
        }
        char *name = (char *)pn_arena_take(&worker->arena, length + 1);
        if (!name)
            return -ENOMEM;
        memcpy(name, item->name, length + 1);
        (*types)[directory->count] = item->type;
        directory->entries[directory->count++] = (struct pn_scan_entry){.name = name, .name_size = (uint8_t)length};
    }
    return 0;
}

static int list(struct pn_scan_worker *worker, struct pn_scan_directory *directory, int fd, unsigned char **types)
{
    uint32_t room = 0;
    for (;;) {
        long got = syscall(SYS_getdents64, fd, worker->listing, PN_LISTING_BYTES);
        if (got == 0)
            return 0;
        if (got < 0)
            return -errno;
        int error = take_names(worker, directory, (size_t)got, &room, types);
        if (error)
            return error;
    }
}

/* Queues a sub-directory; nothing but its name is known of it yet. */
static int enqueue(struct pn_scan_worker *worker, struct pn_scan_directory *parent, int fd, struct pn_anchor **deeper,
                   struct pn_scan_entry *entry)
{
    struct pn_scan *scan = worker->scan;
    struct pn_scan_directory *child = calloc(1, sizeof(*child));
    const size_t above = strlen(parent->path);
    struct pn_anchor *anchor = parent->anchor;
    if (!child)
        return -ENOMEM;
    if (above > PN_ANCHOR_PATH) { /* this directory becomes the start of its children's paths */
        if (!*deeper) {
            int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0), error = errno;
            struct pn_anchor *fresh = kept < 0 ? NULL : malloc(sizeof(*fresh));
            if (!fresh) {
                free(child);
                if (kept >= 0)
                    close(kept);
                return kept < 0 ? -error : -ENOMEM;
            }
            fresh->fd = kept;
            atomic_init(&fresh->users, 1);
            *deeper = fresh;
        }
        anchor = *deeper;
    }
    const size_t prefix = anchor == parent->anchor ? above : 0;
    child->path = malloc(prefix + entry->name_size + 2u);
    if (!child->path) {
        free(child);
        return -ENOMEM;
    }
    memcpy(child->path, parent->path, prefix);
    if (prefix)
        child->path[prefix] = '/';
    memcpy(child->path + prefix + (prefix != 0), entry->name, (size_t)entry->name_size + 1);
    child->anchor = anchor;
    atomic_fetch_add(&anchor->users, 1);
    child->self = entry;
    entry->directory = child;
    pthread_mutex_lock(&scan->lock);
    child->next = scan->queue;
    scan->queue = child;
    child->all = scan->all;
    scan->all = child;
    if (scan->idle)
        pthread_cond_signal(&scan->wake);
    pthread_mutex_unlock(&scan->lock);
    return 0;
}

static void tell_progress(struct pn_scan_worker *worker)
{
    struct pn_scan *scan = worker->scan;
    if (!scan->progress)
        return;
    __atomic_fetch_add(&scan->progress[0], worker->files, __ATOMIC_RELAXED);
    __atomic_fetch_add(&scan->progress[1], worker->bytes, __ATOMIC_RELAXED);
    worker->files = worker->bytes = 0;
    if (__atomic_load_n(&scan->progress[2], __ATOMIC_RELAXED))
        pn_scan_fail(scan, -ECANCELED, PN_SCAN_CANCELLED, NULL, NULL, "go on");
}

static int read_directory(struct pn_scan_worker *worker, struct pn_scan_directory *directory, int fd,
                          unsigned char **types, struct pn_anchor **deeper)
{
    struct pn_scan *scan = worker->scan;
    int error = pn_scan_attributes(worker, directory, fd, NULL, directory->self);
    if (error)
        return error;
    if (!S_ISDIR(directory->self->info.mode))
        return pn_scan_fail(scan, -ENOTDIR, PN_SCAN_READ, directory, NULL, "read the directory");
    error = list(worker, directory, fd, types);
    if (error)
        return pn_scan_fail(scan, error, PN_SCAN_READ, directory, NULL, "list the directory");
    /* Files first, so that the entries of this directory are in the caches; their records no longer move. */
    for (uint32_t i = 0; i < directory->count; i++) {
        if (atomic_load_explicit(&scan->error, memory_order_relaxed))
            return atomic_load(&scan->error);
        error = (*types)[i] == DT_DIR ? 0 : pn_scan_entry(worker, directory, fd, &directory->entries[i], (*types)[i]);
        if (error)
            return error;
        if ((i & 63) == 63)
            tell_progress(worker);
    }
    for (uint32_t i = directory->count; i--;) { /* backwards: the queue gives the last one first */
        struct pn_scan_entry *entry = &directory->entries[i];
        if ((*types)[i] != DT_DIR && !S_ISDIR(entry->info.mode))
            continue;
        error = enqueue(worker, directory, fd, deeper, entry);
        if (error)
            return pn_scan_fail(scan, error, PN_SCAN_READ, directory, entry->name, "open the directory");
    }
    tell_progress(worker);
    return 0;
}

static void visit(struct pn_scan_worker *worker, struct pn_scan_directory *directory)
{
    struct pn_anchor *deeper = NULL;
    unsigned char *types = NULL;
    int fd = open_directory(directory);
    if (fd < 0) {
        pn_scan_fail(worker->scan, fd, PN_SCAN_READ, directory, NULL, "open the directory");
    } else {
        (void)read_directory(worker, directory, fd, &types, &deeper); /* the scan remembers the error */
        close(fd);
    }
    free(types);
    release(deeper);
    release(directory->anchor);
    directory->anchor = NULL;
}

/* The next directory, or NULL when the walk is over: the queue is empty and nobody can fill it any more. */
static struct pn_scan_directory *next_directory(struct pn_scan *scan)
{
    struct pn_scan_directory *directory = NULL;
    pthread_mutex_lock(&scan->lock);
    for (;;) {
        if (atomic_load(&scan->error) || scan->done)
            break;
        directory = scan->queue;
        if (directory) {
            scan->queue = directory->next;
            break;
        }
        if (++scan->idle == scan->threads) {
            scan->done = 1;
            pthread_cond_broadcast(&scan->wake);
            break;
        }
        pthread_cond_wait(&scan->wake, &scan->lock);
        scan->idle--;
    }
    pthread_mutex_unlock(&scan->lock);
    return directory;
}

static void *work(void *argument)
{
    struct pn_scan_worker *worker = argument;
    struct pn_scan_directory *directory;
    while ((directory = next_directory(worker->scan)) != NULL)
        visit(worker, directory);
    pn_batch_flush(worker->batch);
    int error = pn_batch_error(worker->batch);
    if (error)
        pn_scan_fail(worker->scan, error, PN_SCAN_STORE, NULL, NULL, "write an object");
    tell_progress(worker);
    return NULL;
}

static void hash_large_files(struct pn_scan *scan)
{
    while (scan->large) {
        struct pn_scan_large *large = scan->large;
        struct pn_scan_entry *entry = large->entry;
        const struct pn_source source = {.fd = large->fd, .size = entry->info.size, .stop = pn_scan_stop(scan)};
        int error = atomic_load(&scan->error);
        if (!error) {
            error = pn_digest(&scan->plan, &source, scan->threads, NULL, entry->digest);
            if (error)
                pn_scan_fail(scan, error, PN_SCAN_READ, large->directory, entry->name, "read the file");
        }
        if (!error && scan->staging >= 0) {
            error = pn_scan_store_file(scan, large->fd, entry->info.size, scan->threads, entry->digest);
            if (error)
                pn_scan_fail(scan, error, PN_SCAN_STORE, large->directory, entry->name, "write the object of the file");
        }
        close(large->fd);
        scan->large = large->next;
        free(large);
    }
}

int pn_scan_walk(struct pn_scan *scan, struct pn_scan_worker *workers)
{
    pthread_t helpers[PN_THREADS_MAX];
    const unsigned wanted = scan->threads;
    unsigned started = 1;
    pn_engine_calibrate(scan->plan.algorithm);
    /* The number of threads is final only when all are started: until then nobody may conclude that all are idle. */
    pthread_mutex_lock(&scan->lock);
    while (started < wanted && pthread_create(&helpers[started], NULL, work, &workers[started]) == 0)
        started++;
    scan->threads = started;
    pthread_mutex_unlock(&scan->lock);
    work(&workers[0]);
    while (--started)
        pthread_join(helpers[started], NULL);
    hash_large_files(scan);
    for (struct pn_scan_directory *directory = scan->all; directory; directory = directory->all)
        release(directory->anchor); /* those that an error left in the queue */
    return atomic_load(&scan->error);
}
