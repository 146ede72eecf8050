/* SPDX-License-Identifier: MIT
 *
 * Objects on their way into a store. A file appears in the staging directory under its digest; the exclusive creation of
 * that name is also what makes two threads with the same content write it once. Nothing here is durable yet.
 */
#include "scan.h"

#include "../verity/digest.h"

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
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < PN_DIGEST_SIZE; i++) {
        name[2 * i] = digits[digest[i] >> 4];
        name[2 * i + 1] = digits[digest[i] & 15];
    }
    name[HEX_SIZE] = 0;
}

static int in_store(const struct pn_scan *scan, const char *name)
{
    char path[HEX_SIZE + 2];
    snprintf(path, sizeof(path), "%.2s/%s", name, name + 2);
    return faccessat(scan->store, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A new file in the staging directory; -EEXIST if it is already there or in the store. */
static int create(const struct pn_scan *scan, const char *name)
{
    if (in_store(scan, name))
        return -EEXIST;
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
static int copy_all(int from, int to, uint64_t size)
{
    uint8_t buffer[64 << 10];
    if (ioctl(to, FICLONE, from) == 0)
        return ftruncate(to, (off_t)size) ? -errno : 0;
    off_t in = 0, out = 0;
    while ((uint64_t)in < size) {
        ssize_t moved = copy_file_range(from, &in, to, &out, size - (uint64_t)in, 0);
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
        if (written < 0)
            return -errno;
        in += written, out += written;
    }
    return 0;
}

int pn_scan_store_file(struct pn_scan *scan, int fd, uint64_t size, unsigned threads, uint8_t *digest)
{
    char name[HEX_SIZE + 1], found[HEX_SIZE + 1];
    uint8_t copied[PN_DIGEST_SIZE];
    hex_name(digest, name);
    int copy = create(scan, name);
    if (copy < 0)
        return copy == -EEXIST ? 0 : copy;
    int error = copy_all(fd, copy, size);
    if (!error) {
        const struct pn_source source = {.fd = copy, .size = size};
        error = pn_digest(&scan->plan, &source, threads, NULL, copied);
    }
    /* The file changed between hashing and copying: what the image refers to must be what is in the store. */
    if (!error && memcmp(copied, digest, PN_DIGEST_SIZE) != 0) {
        hex_name(copied, found);
        memcpy(digest, copied, PN_DIGEST_SIZE);
        if (renameat(scan->staging, name, scan->staging, found))
            error = -errno;
    }
    return finish(copy, error);
}
