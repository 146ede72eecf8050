/* SPDX-License-Identifier: MIT
 *
 * Objects on their way into a store: files in the staging directory, named by their digest. Small ones come from
 * memory, and the exclusive creation of the name makes two threads with the same content write it once. Large ones are
 * copied from a file that may be changing. Nothing here is durable yet.
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
#include <unistd.h>

enum { HEX_SIZE = 2 * PN_DIGEST_SIZE, OBJECT_MODE = 0644 };

static void hex_name(const uint8_t *digest, char name[HEX_SIZE + 1])
{
    *pn_hex_encode((uint8_t *)name, digest, PN_DIGEST_SIZE) = 0;
}

static int in_store(const struct pn_scan *scan, const char *name)
{
    char path[HEX_SIZE + 2];
    snprintf(path, sizeof(path), "%.2s/%s", name, name + 2);
    return faccessat(scan->store, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int is_staged(const struct pn_scan *scan, const char *name)
{
    return faccessat(scan->staging, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int create(const struct pn_scan *scan, const char *name)
{
    int fd = openat(scan->staging, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, OBJECT_MODE);
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
    char name[HEX_SIZE + 1];
    hex_name(digest, name);
    if (in_store(scan, name))
        return 0;
    int fd = create(scan, name), error = 0;
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
    char name[HEX_SIZE + 1], temporary[32];
    uint8_t copied[PN_DIGEST_SIZE];
    hex_name(digest, name);
    if (in_store(scan, name) || is_staged(scan, name))
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
        hex_name(digest, name);
    }
    if (!error && renameat(scan->staging, temporary, scan->staging, name))
        error = -errno;
    return finish(copy, error);
}
