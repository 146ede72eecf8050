/* SPDX-License-Identifier: MIT
 *
 * Seal many files with fs-verity and let the kernel say what each one is. Building the Merkle tree is the kernel's
 * work, done in the thread that asks; so threads share a counter and each takes the next name. A file that is sealed
 * already is only measured: that is quick, works on a read-only filesystem, and makes an interrupted run go on where it
 * was.
 */
#include "powernode.h"
#include "verity/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEASURE_ONLY = 1 };
enum { DIGEST_SIZE = 32, BLOCK_SIZE = 4096 };
enum { DONE, BYTES, STOP }; /* the words of `progress`; the library sets STOP too */

struct seal {
    int directory;
    uint32_t flags;
    const char **names;
    const uint8_t *digests;
    uint64_t count;
    uint64_t *progress;
    int32_t *errors;
    uint64_t next;
};

static int measure(int fd, const uint8_t *expected)
{
    /* The header's structure ends in the digest's bytes; 64 is the longest there is. */
    union {
        struct fsverity_digest head;
        uint8_t room[sizeof(struct fsverity_digest) + 64];
    } answer = {.head = {.digest_size = 64}};
    if (ioctl(fd, FS_IOC_MEASURE_VERITY, &answer) != 0)
        return -errno;
    bool same = answer.head.digest_algorithm == FS_VERITY_HASH_ALG_SHA256 && answer.head.digest_size == DIGEST_SIZE &&
                memcmp(answer.room + sizeof(answer.head), expected, DIGEST_SIZE) == 0;
    return same ? 0 : -EBADMSG;
}

static int enable(int fd)
{
    const struct fsverity_enable_arg argument = {
        .version = 1,
        .hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
        .block_size = BLOCK_SIZE,
    };
    return ioctl(fd, FS_IOC_ENABLE_VERITY, &argument) == 0 || errno == EEXIST ? 0 : -errno;
}

static int seal_open_file(const struct seal *seal, int fd, const uint8_t *expected, uint64_t *size)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    *size = (uint64_t)st.st_size;
    int error = measure(fd, expected);
    if (error != -ENODATA || (seal->flags & MEASURE_ONLY))
        return error;
    error = enable(fd);
    return error ? error : measure(fd, expected);
}

static int seal_file(const struct seal *seal, uint64_t index)
{
    uint64_t size = 0;
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    int fd = openat(seal->directory, seal->names[index], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = seal_open_file(seal, fd, seal->digests + index * DIGEST_SIZE, &size);
    close(fd);
    __atomic_fetch_add(&seal->progress[BYTES], size, __ATOMIC_RELAXED);
    return error;
}

static void *take_files(void *argument)
{
    struct seal *seal = argument;
    while (!__atomic_load_n(&seal->progress[STOP], __ATOMIC_RELAXED)) {
        uint64_t index = __atomic_fetch_add(&seal->next, 1, __ATOMIC_RELAXED);
        if (index >= seal->count)
            break;
        int error = seal_file(seal, index);
        seal->errors[index] = error;
        __atomic_fetch_add(&seal->progress[DONE], 1, __ATOMIC_RELAXED);
        /* Once the disk is full every other file would fail too, after minutes of hashing. */
        if (error == -ENOSPC || error == -EDQUOT)
            __atomic_store_n(&seal->progress[STOP], 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

int32_t pn_linux_seal(int32_t directory, const uint8_t *names, const uint8_t *digests, uint64_t count, uint32_t flags,
                      uint32_t threads, uint64_t *progress, int32_t *errors)
{
    struct seal seal = {.directory = directory, .flags = flags, .digests = digests, .count = count, .errors = errors};
    uint64_t unwatched[3] = {0};
    pthread_t helpers[PN_THREADS_MAX];
    unsigned started = 0;
    if (flags & ~(uint32_t)MEASURE_ONLY)
        return -EINVAL;
    if (count == 0)
        return 0;
    seal.progress = progress ? progress : unwatched;
    seal.names = calloc(count, sizeof(*seal.names));
    if (!seal.names)
        return -ENOMEM;
    const char *name = (const char *)names;
    for (uint64_t i = 0; i < count; i++, name += strlen(name) + 1) {
        seal.names[i] = name;
        errors[i] = -ECANCELED; /* until somebody takes it */
    }
    threads = pn_thread_count(threads);
    while (started + 1 < threads && started + 1 < count) {
        if (pthread_create(&helpers[started], NULL, take_files, &seal) != 0)
            break;
        started++;
    }
    take_files(&seal);
    while (started--)
        pthread_join(helpers[started], NULL);
    free(seal.names);
    return 0;
}
