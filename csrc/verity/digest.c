/* SPDX-License-Identifier: MIT
 *
 * The file is cut into chunks of about 1 MiB; threads take the next chunk, read it into a buffer of their own and hash
 * its blocks. pread and not mmap: a mapping is up to a fifth faster while the page cache holds large folios, but a file
 * cut short under it kills the process with SIGBUS, and its pages count as our memory.
 *
 * What a chunk leaves behind are the digests of its blocks, or, where a chunk is a whole number of hash blocks, already
 * the digests of those, a hundredth of that. The caller pushes them into the Merkle builder in order after each span of
 * chunks, so memory stays below a few MiB however large the file is.
 */
#include "digest.h"

#include "engine.h"
#include "merkle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK_BYTES = 1 << 20,
    SPAN_CHUNKS = 1024,
    CALIBRATE_FROM = 4 << 20, /* bytes from which a race of the kernels pays for itself */
    THREADS_FROM = 2 << 20,   /* below this a second thread costs more than it gives */
};

struct work {
    const struct pn_plan *plan;
    const struct pn_source *source;
    uint32_t chunk_blocks;
    uint32_t collapse;      /* chunks leave digests of hash blocks instead of data blocks */
    uint32_t per_chunk;     /* digests a full chunk leaves */
    uint64_t first, chunks; /* of this span */
    uint8_t *results;       /* per_chunk digests for every chunk of the span */
    uint8_t *loose;         /* when collapsing: digests of the last hash block of the file, if it is not full */
    uint32_t loose_count;
    _Atomic uint64_t next;
    _Atomic int error;
};

unsigned pn_thread_count(unsigned asked)
{
    cpu_set_t set;
    if (asked == 0)
        asked = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    return asked > PN_THREADS_MAX ? PN_THREADS_MAX : asked < 1 ? 1 : asked;
}

int pn_read_exactly(int fd, uint8_t *buffer, uint64_t size, uint64_t offset)
{
    while (size) {
        ssize_t got = pread(fd, buffer, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -ESTALE;
        buffer += got, size -= (uint64_t)got, offset += (uint64_t)got;
    }
    return 0;
}

/* Digests of the data blocks of one chunk; `scratch` takes what must be read or padded. */
static int hash_blocks(struct work *work, uint64_t offset, uint64_t bytes, uint8_t *scratch, uint8_t *leaves)
{
    const struct pn_plan *plan = work->plan;
    const uint64_t whole = bytes / plan->block_size, rest = bytes % plan->block_size;
    const uint8_t *data = scratch;
    if (work->source->data) {
        data = work->source->data + offset;
    } else {
        int error = pn_read_exactly(work->source->fd, scratch, bytes, offset);
        if (error)
            return error;
    }
    pn_hash_run(&plan->block, data, plan->block_size, whole, leaves);
    if (rest) { /* the last block of the file counts as if zeros followed it */
        memmove(scratch, data + whole * plan->block_size, rest);
        memset(scratch + rest, 0, plan->block_size - rest);
        pn_hash_run(&plan->block, scratch, plan->block_size, 1, leaves + whole * plan->digest_size);
    }
    return 0;
}

static int hash_chunk(struct work *work, uint64_t index, uint8_t *scratch, uint8_t *leaves)
{
    if (work->source->stop && __atomic_load_n(work->source->stop, __ATOMIC_RELAXED))
        return -ECANCELED;
    const struct pn_plan *plan = work->plan;
    const uint64_t chunk_bytes = (uint64_t)work->chunk_blocks * plan->block_size;
    const uint64_t offset = (work->first + index) * chunk_bytes, left = work->source->size - offset;
    const uint64_t bytes = left < chunk_bytes ? left : chunk_bytes;
    uint8_t *result = work->results + index * work->per_chunk * plan->digest_size;
    if (!work->collapse)
        return hash_blocks(work, offset, bytes, scratch, result);

    int error = hash_blocks(work, offset, bytes, scratch, leaves);
    if (error)
        return error;
    const uint64_t count = pn_blocks_of(plan, bytes), full = count / plan->hashes_per_block;
    pn_hash_run(&plan->block, leaves, plan->block_size, full, result);
    const uint64_t loose = count - full * plan->hashes_per_block;
    if (loose) { /* only in the last chunk of the file */
        memcpy(work->loose, leaves + full * plan->block_size, loose * plan->digest_size);
        work->loose_count = (uint32_t)loose;
    }
    return 0;
}

static void *work_through(void *argument)
{
    struct work *work = argument;
    const size_t chunk_bytes = (size_t)work->chunk_blocks * work->plan->block_size;
    const size_t leaves = work->collapse ? (size_t)work->chunk_blocks * work->plan->digest_size : 0;
    const size_t data = work->source->data ? work->plan->block_size : chunk_bytes;
    uint8_t *scratch = aligned_alloc(4096, (data + leaves + 4095) & ~(size_t)4095);
    int error = scratch ? 0 : -ENOMEM;
    while (!error && !atomic_load_explicit(&work->error, memory_order_relaxed)) {
        uint64_t index = atomic_fetch_add_explicit(&work->next, 1, memory_order_relaxed);
        if (index >= work->chunks)
            break;
        error = hash_chunk(work, index, scratch, scratch + data);
    }
    if (error)
        atomic_store(&work->error, error);
    free(scratch);
    return NULL;
}

/* A thread that cannot be started is not missed: the others, at least the caller's own, do its share. */
static int run_span(struct work *work, unsigned threads)
{
    pthread_t helpers[PN_THREADS_MAX];
    unsigned started = 0;
    atomic_store(&work->next, 0);
    atomic_store(&work->error, 0);
    while (started + 1 < threads && started + 1 < work->chunks) {
        if (pthread_create(&helpers[started], NULL, work_through, work) != 0)
            break;
        started++;
    }
    work_through(work);
    while (started--)
        pthread_join(helpers[started], NULL);
    return atomic_load(&work->error);
}

static void plan_work(struct work *work, const struct pn_plan *plan, const struct pn_source *source, int collapse)
{
    *work = (struct work){.plan = plan, .source = source, .chunk_blocks = CHUNK_BYTES / plan->block_size};
    work->collapse = collapse && work->chunk_blocks % plan->hashes_per_block == 0;
    work->per_chunk = work->collapse ? work->chunk_blocks / plan->hashes_per_block : work->chunk_blocks;
}

static int digest_streaming(struct work *work, unsigned threads, uint64_t chunks, uint8_t *digest)
{
    const struct pn_plan *plan = work->plan;
    const uint64_t span = chunks < SPAN_CHUNKS ? chunks : SPAN_CHUNKS;
    struct pn_merkle merkle;
    int error = 0;
    work->results = malloc(span * work->per_chunk * plan->digest_size + plan->block_size);
    if (!work->results)
        return -ENOMEM;
    work->loose = work->results + span * work->per_chunk * plan->digest_size;
    pn_merkle_init(&merkle, plan);
    for (; !error && work->first < chunks; work->first += work->chunks) {
        work->chunks = chunks - work->first < span ? chunks - work->first : span;
        error = run_span(work, threads);
        if (error)
            break;
        uint64_t results = work->chunks * work->per_chunk;
        if (work->first + work->chunks == chunks) { /* the last chunk leaves only as many as it has */
            const uint64_t before = (chunks - 1) * work->chunk_blocks * (uint64_t)plan->block_size;
            const uint64_t blocks = pn_blocks_of(plan, work->source->size - before);
            results -= work->per_chunk - (work->collapse ? blocks / plan->hashes_per_block : blocks);
        }
        error = pn_merkle_push(&merkle, work->collapse ? 1 : 0, work->results, results);
    }
    if (!error && work->loose_count)
        error = pn_merkle_push(&merkle, 0, work->loose, work->loose_count);
    if (!error && work->collapse) /* the builder must know that level 0 was not a single digest */
        merkle.level[0].seen = pn_blocks_of(plan, work->source->size);
    if (!error)
        error = pn_merkle_finish(&merkle, work->source->size, digest);
    pn_merkle_free(&merkle);
    free(work->results);
    return error;
}

static int digest_with_tree(struct work *work, unsigned threads, uint64_t chunks, uint8_t *tree, uint8_t *digest)
{
    const struct pn_plan *plan = work->plan;
    const uint64_t total = pn_merkle_tree_size(plan, work->source->size);
    const uint64_t leaves = pn_merkle_leaves_at(plan, work->source->size);
    memset(tree + leaves, 0, total - leaves);
    work->results = tree + leaves;
    work->chunks = chunks;
    int error = run_span(work, threads);
    if (!error)
        pn_merkle_fill(plan, work->source->size, tree, digest);
    return error;
}

int pn_digest(const struct pn_plan *plan, const struct pn_source *source, unsigned threads, uint8_t *tree,
              uint8_t *digest)
{
    struct work work;
    tree = source->size > plan->block_size ? tree : NULL;
    plan_work(&work, plan, source, tree == NULL);
    const uint64_t chunk_bytes = (uint64_t)work.chunk_blocks * plan->block_size;
    const uint64_t chunks = source->size / chunk_bytes + (source->size % chunk_bytes != 0);
    threads = source->size < THREADS_FROM ? 1 : pn_thread_count(threads);
    if (source->size >= CALIBRATE_FROM)
        pn_engine_calibrate(plan->algorithm);
    if (!source->data && source->size > CHUNK_BYTES)
        (void)posix_fadvise(source->fd, 0, (off_t)source->size, POSIX_FADV_SEQUENTIAL);
    return tree ? digest_with_tree(&work, threads, chunks, tree, digest)
                : digest_streaming(&work, threads, chunks, digest);
}
