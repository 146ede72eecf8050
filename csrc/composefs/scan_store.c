/* SPDX-License-Identifier: MIT
 *
 * Objects on their way into a store: files in the staging directory, with the paths they will have in the store. Small
 * ones come from memory, and the exclusive creation of the name makes two threads with the same content write it once.
 * Large ones are copied from a file that may be changing. Nothing here is durable yet.
 *
 * The 256 folders also keep the threads apart: creating a file locks its directory, and with a single one they would
 * wait for each other most of the time.
 */
#include "scan.h"

#include "../verity/digest.h"
#include "hex.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 2 * PN_DIGEST_SIZE + 2, OBJECT_MODE = 0644, FOLDER_MODE = 0755 };

/* "ab/cdef…" */
static void object_path(const uint8_t *digest, char path[PATH_SIZE])
{
    uint8_t *rest = pn_hex_encode((uint8_t *)path, digest, 1);
    *rest = '/';
    *pn_hex_encode(rest + 1, digest + 1, PN_DIGEST_SIZE - 1) = 0;
}

static int is_there(int directory, const char *path)
{
    return faccessat(directory, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int make_folder(const struct pn_scan *scan, const char *path)
{
    const char folder[] = {path[0], path[1], 0};
    if (mkdirat(scan->staging, folder, FOLDER_MODE) && errno != EEXIST)
        return -errno;
    return 0;
}

static int create(const struct pn_scan *scan, const char *path)
{
    int fd = openat(scan->staging, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, OBJECT_MODE);
    return fd < 0 ? -errno : fd;
}

static int finish(int fd, int error)
{
    if (!error && fchmod(fd, OBJECT_MODE)) /* whatever the umask */
        error = -errno;
    if (close(fd) && !error)
        error = -errno;
    return error;
}

int pn_scan_store_memory(void *context, const uint8_t *digest, const uint8_t *content, uint64_t size)
{
    const struct pn_scan *scan = context;
    char path[PATH_SIZE];
    object_path(digest, path);
    if (is_there(scan->store, path))
        return 0;
    int fd = create(scan, path), error = 0;
    if (fd == -ENOENT) {
        error = make_folder(scan, path);
        fd = error ? error : create(scan, path);
    }
    if (fd < 0)
        return fd == -EEXIST ? 0 : fd;
    while (size && !error) {
        ssize_t written = write(fd, content, size);
        if (written < 0 && errno != EINTR)
            error = -errno;
        else if (written > 0)
            content += written, size -= (uint64_t)written;
    }
    return finish(fd, error);
}

/* Shares the extents where the filesystem can, else lets the kernel copy, else copies by hand. */
static int copy_all(int from, int to, uint64_t size, const uint64_t *stop)
{
    enum { PIECE = 256 << 20 }; /* after which somebody who wants to stop is heard */
    uint8_t buffer[64 << 10];
    struct stat status;
    if (ioctl(to, FICLONE, from) == 0) {
        if (fstat(to, &status) || ((uint64_t)status.st_size > size && ftruncate(to, (off_t)size)))
            return -errno;
        return (uint64_t)status.st_size < size ? -ESTALE : 0;
    }
    off_t in = 0, out = 0;
    while ((uint64_t)in < size) {
        if (stop && __atomic_load_n(stop, __ATOMIC_RELAXED))
            return -ECANCELED;
        uint64_t left = size - (uint64_t)in;
        ssize_t moved = copy_file_range(from, &in, to, &out, left < PIECE ? left : PIECE, 0);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved <= 0)
            break;
    }
    while ((uint64_t)in < size) {
        uint64_t piece = size - (uint64_t)in < sizeof(buffer) ? size - (uint64_t)in : sizeof(buffer);
        int error = pn_read_exactly(from, buffer, piece, (uint64_t)in);
        if (error)
            return error;
        ssize_t written = pwrite(to, buffer, piece, out);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        in += written, out += written;
    }
    return 0;
}

int pn_scan_store_file(struct pn_scan *scan, int fd, uint64_t size, unsigned threads, uint8_t *digest)
{
    char path[PATH_SIZE], temporary[32];
    uint8_t copied[PN_DIGEST_SIZE];
    object_path(digest, path);
    if (is_there(scan->store, path) || is_there(scan->staging, path))
        return 0;
    /* Named by its digest only once that is known to be right: another thread relies on the name as soon as it is
     * there. The descriptor's number is this file's alone while it is open. */
    snprintf(temporary, sizeof(temporary), "copy-%d", fd);
    int copy = create(scan, temporary);
    if (copy < 0)
        return copy;
    int error = copy_all(fd, copy, size, pn_scan_stop(scan));
    if (!error) {
        const struct pn_source source = {.fd = copy, .size = size, .stop = pn_scan_stop(scan)};
        error = pn_digest(&scan->plan, &source, threads, NULL, copied);
    }
    /* The file changed between hashing and copying: what the image refers to must be what is in the store. */
    if (!error && memcmp(copied, digest, PN_DIGEST_SIZE) != 0) {
        memcpy(digest, copied, PN_DIGEST_SIZE);
        object_path(digest, path);
    }
    if (!error)
        error = make_folder(scan, path);
    if (!error && renameat(scan->staging, temporary, scan->staging, path))
        error = -errno;
    return finish(copy, error);
}
