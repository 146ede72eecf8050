/* SPDX-License-Identifier: MIT
 *
 * Digests of arbitrary content by every way the library has. What must hold for every input:
 *
 * - one buffer, the same bytes in a file, in pieces through a stream, and among other files in a batch give one digest,
 *   with a Merkle tree or without, with one thread or several, and with every kernel this CPU can run;
 * - nothing is written behind the tree, and the tree from memory is the tree from the file;
 * - parameters that one function refuses all refuse, in the same way;
 * - a stream that is finished says so.
 *
 * An input is ten bytes of choices and then the content:
 *     0 algorithm   1 block size   2 salt size   3-4 size, 5 how it is read   6 kernel of the stream and the batch
 *     7 number of files   8-9 sizes of the pieces
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../include/powernode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): the harness must notice in any build. */
#define REQUIRE(condition)    \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

enum { CHOICES = 10, DIGEST_MAX = 64, KERNELS_MAX = 16, FILES_MAX = 40, PATH_SIZE = 40, CANARY = 64 };

/* Larger than a file that fits a batch, and now and then large enough for threads and several chunks. */
enum { SIZE_SMALL = 0xffff, SIZE_MIDDLING = 300000, SIZE_LARGE = 2200000 };

struct job {
    uint32_t algorithm, block_size, salt_size, kernel_choice, files;
    uint32_t pieces[2];
    const uint8_t *salt;
    uint8_t *content;
    uint64_t size;
    uint8_t kernels[KERNELS_MAX][32];
    uint32_t kernel_count;
    size_t digest_size;
    uint8_t expected[DIGEST_MAX];
};

static uint64_t content_size(const uint8_t *choices)
{
    uint64_t wish = (uint64_t)choices[3] << 8 | choices[4];
    switch (choices[5] & 15) {
    case 0:
        return wish * SIZE_MIDDLING / SIZE_SMALL;
    case 15:
        return choices[5] >> 4 == 15 ? SIZE_LARGE + wish : wish;
    default:
        return wish >> (choices[5] & 15); /* mostly small: there the edges are */
    }
}

/* Fuzz inputs are short; the content repeats them with a counter mixed in, so that no two blocks are equal. */
static uint8_t *make_content(const uint8_t *data, size_t size, uint64_t wanted)
{
    uint8_t *content = malloc(wanted ? wanted : 1);
    REQUIRE(content);
    for (uint64_t i = 0; i < wanted; i++)
        content[i] = (uint8_t)((size ? data[i % size] : 0x5a) + (i >> 10) * 7);
    return content;
}

static void find_kernels(struct job *job)
{
    uint32_t algorithm;
    uint8_t name[32];
    int32_t state;
    for (uint32_t i = 0; (state = pn_verity_kernel(i, name, &algorithm)) >= 0; i++) {
        if (!state || algorithm != job->algorithm)
            continue;
        REQUIRE(job->kernel_count < KERNELS_MAX);
        memcpy(job->kernels[job->kernel_count++], name, sizeof(name));
    }
    REQUIRE(state == -ENOENT && job->kernel_count);
}

static void use(const struct job *job, uint32_t kernel)
{
    REQUIRE(pn_verity_use_kernel(job->kernels[kernel % job->kernel_count]) == 0);
}

static void require_expected(const struct job *job, const uint8_t *digest)
{
    REQUIRE(memcmp(digest, job->expected, job->digest_size) == 0);
}

static int file_of(const uint8_t *content, uint64_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    for (uint64_t done = 0; done < size;) {
        ssize_t written = write(fd, content + done, size - done);
        REQUIRE(written > 0);
        done += (uint64_t)written;
    }
    return fd;
}

static void check_stream(const struct job *job)
{
    struct pn_verity_stream *stream;
    uint8_t digest[DIGEST_MAX];
    REQUIRE(pn_verity_stream_new(job->algorithm, job->block_size, job->salt, job->salt_size, &stream) == 0);
    uint64_t done = 0;
    for (uint32_t turn = 0; done < job->size; turn++) {
        uint64_t piece = job->pieces[turn & 1];
        if (turn & 64) /* tiny pieces for ever would only cost time */
            piece += 5000;
        piece = piece < job->size - done ? piece : job->size - done;
        REQUIRE(pn_verity_stream_update(stream, piece ? job->content + done : NULL, piece) == 0);
        done += piece;
    }
    REQUIRE(pn_verity_stream_finish(stream, digest) == 0);
    require_expected(job, digest);
    REQUIRE(pn_verity_stream_update(stream, job->content, job->size) == -EBUSY);
    REQUIRE(pn_verity_stream_finish(stream, digest) == -EBUSY);
    pn_verity_stream_free(stream);
}

/* The file itself, half of it, an empty one and a missing one; then the half again and again. */
static void check_files(const struct job *job, int whole)
{
    const uint64_t half_size = job->size / 2 < 20000 ? job->size / 2 : 20000;
    int half = file_of(job->content, half_size), empty = file_of(NULL, 0);
    char paths[FILES_MAX * PATH_SIZE];
    uint8_t digests[FILES_MAX * DIGEST_MAX], expected[DIGEST_MAX];
    int32_t errors[FILES_MAX];
    size_t at = 0;
    const int first[3] = {whole, half, empty};
    for (uint32_t i = 0; i < job->files; i++) {
        if (i == 3)
            at += (size_t)snprintf(paths + at, PATH_SIZE, "/proc/self/fd/missing") + 1;
        else
            at += (size_t)snprintf(paths + at, PATH_SIZE, "/proc/self/fd/%d", i < 3 ? first[i] : half) + 1;
    }
    REQUIRE(pn_verity_files(job->algorithm, job->block_size, job->salt, job->salt_size, (const uint8_t *)paths,
                            job->files, 2, digests, errors) == 0);
    for (uint32_t i = 0; i < job->files; i++) {
        const uint8_t *digest = digests + i * job->digest_size;
        REQUIRE(errors[i] == (i == 3 ? -ENOENT : 0));
        if (i == 0)
            require_expected(job, digest);
        if (i == 0 || i == 3)
            continue;
        REQUIRE(pn_verity_digest(job->algorithm, job->block_size, job->salt, job->salt_size, job->content, -1,
                                 i == 2 ? 0 : half_size, 1, NULL, expected) == 0);
        REQUIRE(memcmp(digest, expected, job->digest_size) == 0);
    }
    close(half);
    close(empty);
}

static uint8_t *tree_of(const struct job *job, const uint8_t *content, int fd, uint64_t tree_size)
{
    uint8_t digest[DIGEST_MAX], *tree = malloc(tree_size + CANARY);
    REQUIRE(tree);
    memset(tree, 0xa5, tree_size + CANARY);
    REQUIRE(pn_verity_digest(job->algorithm, job->block_size, job->salt, job->salt_size, content, fd, job->size, 3,
                             tree, digest) == 0);
    require_expected(job, digest);
    for (unsigned i = 0; i < CANARY; i++)
        REQUIRE(tree[tree_size + i] == 0xa5);
    return tree;
}

static void check_tree(const struct job *job, int fd)
{
    int64_t size = pn_verity_tree_size(job->algorithm, job->block_size, job->size);
    REQUIRE(size >= 0 && size % job->block_size == 0 && (size == 0) == (job->size <= job->block_size));
    uint8_t *one = tree_of(job, job->content, -1, (uint64_t)size), *other = tree_of(job, NULL, fd, (uint64_t)size);
    REQUIRE(memcmp(one, other, (size_t)size) == 0);
    free(one);
    free(other);
}

static void check_all(struct job *job)
{
    uint8_t digest[DIGEST_MAX];
    int fd = file_of(job->content, job->size);
    find_kernels(job);
    use(job, job->kernel_count - 1); /* the portable one is the last */
    REQUIRE(pn_verity_digest(job->algorithm, job->block_size, job->salt, job->salt_size, job->content, -1, job->size, 1,
                             NULL, job->expected) == 0);
    for (uint32_t kernel = 0; kernel + 1 < job->kernel_count; kernel++) {
        use(job, kernel);
        REQUIRE(pn_verity_digest(job->algorithm, job->block_size, job->salt, job->salt_size, job->content, -1,
                                 job->size, 2, NULL, digest) == 0);
        require_expected(job, digest);
    }
    use(job, job->kernel_choice);
    REQUIRE(pn_verity_digest(job->algorithm, job->block_size, job->salt, job->salt_size, NULL, fd, job->size, 2, NULL,
                             digest) == 0);
    require_expected(job, digest);
    check_stream(job);
    check_files(job, fd);
    check_tree(job, fd);
    REQUIRE(pn_verity_digest(job->algorithm, job->block_size, job->salt, job->salt_size, NULL, fd, job->size + 1, 2,
                             NULL, digest) == -ESTALE);
    close(fd);
}

static void check_refusals(const struct job *job)
{
    struct pn_verity_stream *stream;
    uint8_t digest[DIGEST_MAX];
    int32_t error = 0;
    int32_t status = pn_verity_digest(job->algorithm, job->block_size, job->salt, job->salt_size, job->content, -1, 0,
                                      1, NULL, digest);
    REQUIRE(status == -EINVAL);
    REQUIRE(pn_verity_stream_new(job->algorithm, job->block_size, job->salt, job->salt_size, &stream) == status);
    REQUIRE(pn_verity_files(job->algorithm, job->block_size, job->salt, job->salt_size, (const uint8_t *)"", 0, 1,
                            digest, &error) == status);
    if (job->salt_size <= 32) { /* these two have no salt */
        REQUIRE(pn_verity_tree_size(job->algorithm, job->block_size, 0) == status);
        REQUIRE(pn_verity_blocks(job->algorithm, job->block_size, job->content, 0, digest) == status);
    }
}

static int is_valid(const struct job *job)
{
    const uint32_t block = job->block_size;
    return (job->algorithm == 1 || job->algorithm == 2) && block >= 1024 && block <= 65536 && !(block & (block - 1)) &&
           job->salt_size <= 32;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job job = {0};
    if (size < CHOICES)
        return 0;
    job.algorithm = data[0] & 0x80 ? data[0] : 1u + (data[0] & 1);
    job.block_size =
        data[1] & 0x80 ? (uint32_t)data[1] << 24 | (uint32_t)data[4] << 8 | data[3] : 1024u << (data[1] % 7);
    job.salt_size = data[2] & 0x80 ? data[2] : data[2] % 33u;
    job.salt_size = job.salt_size < 128 && job.salt_size > size - CHOICES ? (uint32_t)(size - CHOICES) : job.salt_size;
    job.salt = job.salt_size ? data + CHOICES : NULL;
    job.digest_size = job.algorithm == 1 ? 32 : 64;
    job.kernel_choice = data[6];
    job.files = 1 + data[7] % FILES_MAX;
    job.pieces[0] = data[8] * 9u;
    job.pieces[1] = 1 + data[9] * 257u;
    job.size = is_valid(&job) ? content_size(data) : 0;
    job.content = make_content(data + CHOICES, size - CHOICES, job.size);
    if (is_valid(&job))
        check_all(&job);
    else
        check_refusals(&job);
    free(job.content);
    return 0;
}
