/* SPDX-License-Identifier: MIT
 *
 * Digests from several threads at once; run with sanitizers. Every thread calls everything there is on the same bytes
 * while kernels race and are exchanged: each must get the digest that one thread alone got before. One stream that two
 * threads share by mistake answers -EBUSY to one of them and keeps its memory in order.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../csrc/include/powernode.h"

#define CHECK(condition)                                                                \
    do {                                                                                \
        if (!(condition)) {                                                             \
            fprintf(stderr, "verity_check.c:%d: not true: %s\n", __LINE__, #condition); \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)

enum { SIZE = (4 << 20) + 12345, THREADS = 3, FILES = 300, PIECE = 3001, SHARED_PIECE = 1500, ROUNDS = 2 };

struct job {
    uint32_t algorithm;
    const uint8_t *content;
    int fd;
    uint8_t expected[64];
    char paths[FILES * 32];
    struct pn_verity_stream *shared;
    _Atomic unsigned taken, busy;
};

static size_t digest_size(const struct job *job)
{
    return job->algorithm == 1 ? 32 : 64;
}

static void from_stream(const struct job *job)
{
    struct pn_verity_stream *stream;
    uint8_t digest[64];
    CHECK(pn_verity_stream_new(job->algorithm, 4096, NULL, 0, &stream) == 0);
    for (uint64_t at = 0; at < SIZE; at += PIECE)
        CHECK(pn_verity_stream_update(stream, job->content + at, SIZE - at < PIECE ? SIZE - at : PIECE) == 0);
    CHECK(pn_verity_stream_finish(stream, digest) == 0);
    CHECK(memcmp(digest, job->expected, digest_size(job)) == 0);
    pn_verity_stream_free(stream);
}

static void from_files(const struct job *job)
{
    uint8_t *digests = malloc(FILES * 64);
    int32_t errors[FILES];
    CHECK(digests);
    CHECK(pn_verity_files(job->algorithm, 4096, NULL, 0, (const uint8_t *)job->paths, FILES, 3, digests, errors) == 0);
    for (int i = 0; i < FILES; i++)
        CHECK(errors[i] == (i % 100 ? -ENOENT : 0));
    CHECK(memcmp(digests, job->expected, digest_size(job)) == 0);
    free(digests);
}

static void *everything(void *argument)
{
    struct job *job = argument;
    uint8_t digest[64], *tree = malloc((size_t)pn_verity_tree_size(job->algorithm, 4096, SIZE));
    CHECK(tree);
    for (int round = 0; round < ROUNDS; round++) {
        pn_verity_use_kernel(NULL);
        CHECK(pn_verity_digest(job->algorithm, 4096, NULL, 0, job->content, -1, SIZE, 3, NULL, digest) == 0);
        CHECK(memcmp(digest, job->expected, digest_size(job)) == 0);
        CHECK(pn_verity_digest(job->algorithm, 4096, NULL, 0, NULL, job->fd, SIZE, 2, tree, digest) == 0);
        CHECK(memcmp(digest, job->expected, digest_size(job)) == 0);
        from_stream(job);
        from_files(job);
    }
    for (int i = 0; i < 2000; i++) {
        int32_t status = pn_verity_stream_update(job->shared, job->content, SHARED_PIECE);
        CHECK(status == 0 || status == -EBUSY);
        atomic_fetch_add(status ? &job->busy : &job->taken, 1);
    }
    free(tree);
    return NULL;
}

static void together(struct job *job)
{
    pthread_t others[THREADS];
    uint8_t digest[64], again[64];
    CHECK(pn_verity_stream_new(job->algorithm, 1024, NULL, 0, &job->shared) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&others[i], NULL, everything, job) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(others[i], NULL);
    /* What was taken was taken whole: the stream is as if one thread had brought it. */
    CHECK(pn_verity_stream_finish(job->shared, digest) == 0);
    pn_verity_stream_free(job->shared);
    CHECK(pn_verity_stream_new(job->algorithm, 1024, NULL, 0, &job->shared) == 0);
    for (unsigned i = 0; i < job->taken; i++)
        CHECK(pn_verity_stream_update(job->shared, job->content, SHARED_PIECE) == 0);
    CHECK(pn_verity_stream_finish(job->shared, again) == 0);
    pn_verity_stream_free(job->shared);
    CHECK(memcmp(digest, again, digest_size(job)) == 0);
}

int main(void)
{
    uint8_t *content = malloc(SIZE);
    int fd = memfd_create("content", MFD_CLOEXEC);
    CHECK(content && fd >= 0);
    for (uint64_t i = 0; i < SIZE; i++)
        content[i] = (uint8_t)(i * 31 + i / 251);
    CHECK(write(fd, content, SIZE) == SIZE);
    for (uint32_t algorithm = 1; algorithm <= 2; algorithm++) {
        struct job *job = calloc(1, sizeof(*job));
        size_t at = 0;
        CHECK(job);
        job->algorithm = algorithm;
        job->content = content;
        job->fd = fd;
        for (int i = 0; i < FILES; i++) /* now and then the file, else nothing */
            at += (size_t)snprintf(job->paths + at, 32, i % 100 ? "/proc/self/fd/none" : "/proc/self/fd/%d", fd) + 1;
        CHECK(pn_verity_digest(algorithm, 4096, NULL, 0, content, -1, SIZE, 1, NULL, job->expected) == 0);
        together(job);
        free(job);
    }
    free(content);
    close(fd);
    return 0;
}
