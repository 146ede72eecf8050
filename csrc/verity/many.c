/* SPDX-License-Identifier: MIT
 *
 * Many files by name. Threads take a handful of files at a time; small ones go through a batch, middling ones are
 * hashed by the thread alone, and the few large ones are left for the end, where all threads share each.
 */
#include "many.h"

#include "batch.h"
#include "digest.h"
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAKE = 16, SHARED_FROM = 32 << 20, CALIBRATE_FILES = 256, LEFT_FOR_LATER = 1 };

struct files {
    const struct pn_plan *plan;
    const char **paths;
    uint64_t count;
    uint8_t *digests;
    int32_t *errors;
    _Atomic uint64_t next;
};

static int open_regular(const char *path, uint64_t *size)
{
    struct stat st;
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &st) ? -errno : S_ISDIR(st.st_mode) ? -EISDIR : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    if (error) {
        close(fd);
        return error;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

static int one_file(struct files *files, struct pn_batch *batch, uint64_t index)
{
    uint8_t *digest = files->digests + index * files->plan->digest_size;
    struct pn_source source = {.fd = -1};
    int fd = open_regular(files->paths[index], &source.size), error;
    if (fd < 0)
        return fd;
    source.fd = fd;
    if (source.size <= pn_batch_limit(batch)) {
        error = pn_read_exactly(fd, pn_batch_reserve(batch, source.size), source.size, 0);
        if (!error)
            pn_batch_commit(batch, source.size, digest);
    } else if (source.size >= SHARED_FROM) {
        error = LEFT_FOR_LATER;
    } else {
        error = pn_digest(files->plan, &source, 1, NULL, digest);
    }
    close(fd);
    return error;
}

static void *take_files(void *argument)
{
    struct files *files = argument;
    struct pn_batch *batch;
    int broken = pn_batch_new(files->plan, &batch);
    for (;;) {
        uint64_t first = atomic_fetch_add_explicit(&files->next, TAKE, memory_order_relaxed);
        if (first >= files->count)
            break;
        for (uint64_t i = first; i < first + TAKE && i < files->count; i++)
            files->errors[i] = broken ? broken : one_file(files, batch, i);
    }
    if (!broken) {
        pn_batch_flush(batch);
        pn_batch_free(batch);
    }
    return NULL;
}

static void large_files(struct files *files, unsigned threads)
{
    for (uint64_t i = 0; i < files->count; i++) {
        if (files->errors[i] != LEFT_FOR_LATER)
            continue;
        struct pn_source source = {.fd = -1};
        source.fd = open_regular(files->paths[i], &source.size);
        if (source.fd < 0) {
            files->errors[i] = source.fd;
            continue;
        }
        files->errors[i] =
            pn_digest(files->plan, &source, threads, NULL, files->digests + i * files->plan->digest_size);
        close(source.fd);
    }
}

int pn_digest_files(const struct pn_plan *plan, const char *paths, uint64_t count, unsigned threads, uint8_t *digests,
                    int32_t *errors)
{
    struct files files = {.plan = plan, .count = count, .digests = digests, .errors = errors};
    pthread_t helpers[PN_THREADS_MAX];
    unsigned started = 0;
    if (count == 0)
        return 0;
    files.paths = calloc(count, sizeof(*files.paths));
    if (!files.paths)
        return -ENOMEM;
    for (uint64_t i = 0; i < count; i++, paths += strlen(paths) + 1)
        files.paths[i] = paths;
    if (count >= CALIBRATE_FILES)
        pn_engine_calibrate(plan->algorithm);
    threads = pn_thread_count(threads);
    while (started + 1 < threads && (uint64_t)(started + 1) * TAKE < count) {
        if (pthread_create(&helpers[started], NULL, take_files, &files) != 0)
            break;
        started++;
    }
    take_files(&files);
    while (started--)
        pthread_join(helpers[started], NULL);
    large_files(&files, threads);
    free(files.paths);
    return 0;
}
