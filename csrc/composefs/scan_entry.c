/* SPDX-License-Identifier: MIT
 *
 * One entry of a directory: its attributes, and its content as the image or the object store needs it.
 */
#include "scan.h"

#include "../verity/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

void pn_scan_status(const struct pn_scan *scan, const struct stat *status, struct pn_scan_entry *entry)
{
    entry->info = (struct pn_node_info){
        .size = S_ISREG(status->st_mode) ? (uint64_t)status->st_size : 0,
        .mode = status->st_mode,
        .uid = status->st_uid,
        .gid = status->st_gid,
        .nlink = 1, /* the reference tool writes 1 for every name */
        .rdev = (uint32_t)status->st_rdev,
    };
    if (!(scan->flags & PN_SCAN_EPOCH)) {
        entry->info.mtime_s = status->st_mtim.tv_sec;
        entry->info.mtime_ns = (uint32_t)status->st_mtim.tv_nsec;
    }
    /* Overlayfs makes all its whiteouts links of one inode, but each must mark its own directory: no links for them. */
    const int whiteout = S_ISCHR(status->st_mode) && status->st_rdev == 0;
    if ((scan->flags & PN_SCAN_HARDLINKS) && status->st_nlink > 1 && !S_ISDIR(status->st_mode) && !whiteout) {
        entry->device = status->st_dev;
        entry->inode = status->st_ino;
    }
}

static ssize_t list_names(int fd, const char *path, char *names)
{
    ssize_t size = path ? llistxattr(path, names, PN_XATTR_LIST_MAX) : flistxattr(fd, names, PN_XATTR_LIST_MAX);
    return size < 0 && errno == ENOTSUP ? 0 : size; /* a filesystem without attributes */
}

static ssize_t get_value(int fd, const char *path, const char *name, void *value, size_t room)
{
    return path ? lgetxattr(path, name, value, room) : fgetxattr(fd, name, value, room);
}

static int take_xattr(struct pn_scan_worker *worker, int fd, const char *path, const char *name,
                      struct pn_xattr_input *out)
{
    const size_t name_size = strlen(name);
    ssize_t size = get_value(fd, path, name, NULL, 0);
    if (size < 0)
        return -errno;
    uint8_t *bytes = pn_arena_take(&worker->arena, name_size + (size_t)size);
    if (!bytes)
        return -ENOMEM;
    memcpy(bytes, name, name_size);
    ssize_t got = size ? get_value(fd, path, name, bytes + name_size, (size_t)size) : 0;
    if (got < 0)
        return errno == ERANGE ? -ESTALE : -errno; /* ERANGE: it has grown since */
    *out = (struct pn_xattr_input){
        .name = bytes, .value = bytes + name_size, .name_size = (uint32_t)name_size, .value_size = (uint32_t)got};
    return 0;
}

static int take_xattrs(struct pn_scan_worker *worker, int fd, const char *path, struct pn_scan_entry *entry)
{
    const uint32_t flags = worker->scan->flags;
    ssize_t size = flags & PN_SCAN_NO_XATTRS ? 0 : list_names(fd, path, worker->xattr_names);
    uint32_t count = 0;
    if (size <= 0)
        return size < 0 ? -errno : 0;
    for (const char *name = worker->xattr_names; name < worker->xattr_names + size; name += strlen(name) + 1)
        count++;
    /* The arena gives no alignment; a few attributes a file are cheaper from malloc than a second arena is to keep. */
    entry->xattrs = calloc(count, sizeof(*entry->xattrs));
    if (!entry->xattrs)
        return -ENOMEM;
    for (const char *name = worker->xattr_names; name < worker->xattr_names + size; name += strlen(name) + 1) {
        if ((flags & PN_SCAN_USER_XATTRS) && strncmp(name, "user.", 5) != 0)
            continue;
        int error = take_xattr(worker, fd, path, name, &entry->xattrs[entry->xattr_count]);
        if (error)
            return error;
        entry->xattr_count++;
    }
    return 0;
}

int pn_scan_attributes(struct pn_scan_worker *worker, struct pn_scan_directory *directory, int fd, const char *path,
                       struct pn_scan_entry *entry)
{
    struct stat status;
    if (!path) {
        if (fstat(fd, &status))
            return pn_scan_fail(worker->scan, -errno, PN_SCAN_READ, directory, entry->name, "read the attributes");
        pn_scan_status(worker->scan, &status, entry);
    }
    int error = take_xattrs(worker, fd, path, entry);
    return error
               ? pn_scan_fail(worker->scan, error, PN_SCAN_READ, directory, entry->name, "read the extended attributes")
               : 0;
}

static int take_target(struct pn_scan_worker *worker, int fd, struct pn_scan_entry *entry)
{
    char target[PN_TARGET_MAX + 2];
    ssize_t size = readlinkat(fd, entry->name, target, sizeof(target));
    if (size < 0)
        return errno == EINVAL ? -ESTALE : -errno; /* EINVAL: it is no symbolic link any more */
    if (size > (ssize_t)PN_TARGET_MAX)
        return -ENAMETOOLONG;
    entry->data = pn_arena_copy(&worker->arena, (const uint8_t *)target, (size_t)size);
    entry->data_size = (uint32_t)size;
    return entry->data || !size ? 0 : -ENOMEM;
}

static int leave_for_later(struct pn_scan *scan, const struct pn_scan_directory *directory, int fd,
                           struct pn_scan_entry *entry)
{
    struct pn_scan_large *large = malloc(sizeof(*large));
    if (!large)
        return -ENOMEM;
    *large = (struct pn_scan_large){.directory = directory, .entry = entry, .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)};
    if (large->fd < 0) { /* out of descriptors: as below, this thread hashes it now */
        free(large);
        return -EMFILE;
    }
    pthread_mutex_lock(&scan->lock);
    int full = scan->large_count == PN_SHARED_MAX;
    if (!full) {
        scan->large_count++;
        large->next = scan->large;
        scan->large = large;
    }
    pthread_mutex_unlock(&scan->lock);
    if (full) {
        close(large->fd);
        free(large);
    }
    return full ? -EMFILE : 0;
}

/* The content, or its digest; what the store does not take is reported here, the caller only knows the file. */
static int take_content(struct pn_scan_worker *worker, struct pn_scan_directory *directory, int fd,
                        struct pn_scan_entry *entry)
{
    struct pn_scan *scan = worker->scan;
    const uint64_t size = entry->info.size;
    int error;
    if (size <= PN_INLINE_MAX) {
        uint8_t *content = pn_arena_take(&worker->arena, size);
        entry->data = content;
        entry->data_size = (uint32_t)size;
        return !size ? 0 : content ? pn_read_exactly(fd, content, size, 0) : -ENOMEM;
    }
    if (size <= pn_batch_limit(worker->batch)) {
        uint8_t *room = pn_batch_reserve(worker->batch, size);
        error = pn_batch_error(worker->batch);
        if (error) /* of an earlier file, which is not remembered */
            return pn_scan_fail(scan, error, PN_SCAN_STORE, NULL, NULL, "write an object");
        error = pn_read_exactly(fd, room, size, 0);
        if (!error)
            pn_batch_commit(worker->batch, size, entry->digest);
        return error;
    }
    if (size >= PN_SHARED_FROM && leave_for_later(scan, directory, fd, entry) == 0)
        return 0;
    const struct pn_source source = {.fd = fd, .size = size, .stop = pn_scan_stop(scan)};
    error = pn_digest(&scan->plan, &source, 1, NULL, entry->digest);
    if (error || scan->staging < 0)
        return error;
    error = pn_scan_store_file(scan, fd, size, 1, entry->digest);
    return error ? pn_scan_fail(scan, error, PN_SCAN_STORE, directory, entry->name, "write the object of the file") : 0;
}

static int regular(struct pn_scan_worker *worker, struct pn_scan_directory *directory, int at,
                   struct pn_scan_entry *entry)
{
    struct pn_scan *scan = worker->scan;
    int fd = openat(at, entry->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return pn_scan_fail(scan, -errno, PN_SCAN_READ, directory, entry->name, "open the file");
    int error = pn_scan_attributes(worker, directory, fd, NULL, entry);
    if (!error && !S_ISREG(entry->info.mode))
        error = pn_scan_fail(scan, -ESTALE, PN_SCAN_CHANGED, directory, entry->name, "read the file");
    if (!error) {
        error = take_content(worker, directory, fd, entry);
        if (error)
            pn_scan_fail(scan, error, PN_SCAN_READ, directory, entry->name,
                         "read the file"); /* unless it has failed already */
    }
    close(fd);
    worker->files++;
    worker->bytes += entry->info.size;
    return error;
}

int pn_scan_entry(struct pn_scan_worker *worker, struct pn_scan_directory *directory, int fd,
                  struct pn_scan_entry *entry, unsigned char type)
{
    struct pn_scan *scan = worker->scan;
    struct stat status;
    char path[32 + PN_NAME_MAX];
    if (type == DT_REG)
        return regular(worker, directory, fd, entry);
    if (fstatat(fd, entry->name, &status, AT_SYMLINK_NOFOLLOW))
        return pn_scan_fail(scan, -errno, PN_SCAN_READ, directory, entry->name, "read the attributes");
    if (S_ISREG(status.st_mode))
        return regular(worker, directory, fd, entry);
    pn_scan_status(scan, &status, entry);
    if (S_ISDIR(status.st_mode))
        return 0;
    if ((scan->flags & PN_SCAN_NO_DEVICES) && (S_ISBLK(status.st_mode) || S_ISCHR(status.st_mode))) {
        entry->skipped = 1;
        return 0;
    }
    /* Attributes of what cannot be opened for reading are reached by name; the last component is not followed. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", fd, entry->name);
    int error = pn_scan_attributes(worker, directory, fd, path, entry);
    if (!error && S_ISLNK(status.st_mode)) {
        error = take_target(worker, fd, entry);
        if (error)
            pn_scan_fail(scan, error, PN_SCAN_READ, directory, entry->name, "read the symbolic link");
    }
    worker->files++;
    return error;
}
