/* SPDX-License-Identifier: MIT
 *
 * The one dispatch point. An engine is a kernel plus the narrower ones that take what does not fill its lanes. Which is
 * best cannot be told from feature bits (no kernel wins on every core), so before long work the candidates race once on
 * 64 KiB each: a fraction of a millisecond, repaid by the first few megabytes. Engines are constant once published, so
 * a race between first callers is harmless.
 */
#include "engine.h"

#include "cpu.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* A chain has ever fewer lanes, which are powers of two: LANES_MAX, 8, 4, 2, 1. */
enum { CHAIN_MAX = 5, LANES_MAX = 16, ALGORITHMS = 2, RACE_MESSAGE = 4096, RACE_COUNT = 16, RACE_ROUNDS = 3 };

/* Index of the kernel chosen for an algorithm, plus one; 0 = not chosen yet. */
static _Atomic uint32_t chosen[ALGORITHMS];
static _Atomic int settled[ALGORITHMS]; /* raced or forced: no race any more */

int pn_kernel_supported(const struct pn_kernel *kernel)
{
    return (kernel->features & ~pn_cpu_features()) == 0;
}

static size_t choice(enum pn_algorithm algorithm)
{
    _Atomic uint32_t *slot = &chosen[algorithm - 1];
    uint32_t index = atomic_load_explicit(slot, memory_order_relaxed);
    if (index == 0) {
        while (pn_kernels[index]->algorithm != algorithm || !pn_kernel_supported(pn_kernels[index]))
            index++;
        atomic_store_explicit(slot, ++index, memory_order_relaxed);
    }
    return index - 1;
}

const struct pn_kernel *pn_engine_kernel(enum pn_algorithm algorithm)
{
    return pn_kernels[choice(algorithm)];
}

/* The chosen kernel, then ever narrower ones in order of preference; always ends with a one-lane kernel. */
static size_t chain_of(enum pn_algorithm algorithm, const struct pn_kernel *chain[CHAIN_MAX])
{
    size_t length = 0;
    chain[length++] = pn_engine_kernel(algorithm);
    for (size_t i = 0; i < pn_kernel_count && chain[length - 1]->lanes > 1 && length < CHAIN_MAX; i++) {
        const struct pn_kernel *kernel = pn_kernels[i];
        if (kernel->algorithm == algorithm && kernel->lanes < chain[length - 1]->lanes && pn_kernel_supported(kernel))
            chain[length++] = kernel;
    }
    return length;
}

/* Fewer messages than lanes: the last message runs in every idle lane and its copies are thrown away. */
static void run_padded(const struct pn_kernel *kernel, const struct pn_frame *frame, const uint8_t *const *messages,
                       size_t count, uint8_t *digests)
{
    const uint8_t *filled[LANES_MAX];
    uint8_t out[LANES_MAX * PN_DIGEST_MAX];
    for (size_t i = 0; i < kernel->lanes; i++)
        filled[i] = messages[i < count ? i : count - 1];
    kernel->run(frame, filled, 1, out);
    memcpy(digests, out, count * pn_digest_size(frame->algorithm));
}

void pn_hash_many(const struct pn_frame *frame, const uint8_t *const *messages, size_t count, uint8_t *digests)
{
    const size_t digest_size = pn_digest_size(frame->algorithm);
    const struct pn_kernel *chain[CHAIN_MAX];
    const size_t length = chain_of(frame->algorithm, chain);
    for (size_t i = 0; i < length && count; i++) {
        const struct pn_kernel *kernel = chain[i];
        size_t groups = count / kernel->lanes, done = groups * kernel->lanes;
        if (groups)
            kernel->run(frame, messages, groups, digests);
        messages += done, digests += done * digest_size, count -= done;
        if (count >= kernel->worth) {
            run_padded(kernel, frame, messages, count, digests);
            return;
        }
    }
}

void pn_hash_run(const struct pn_frame *frame, const uint8_t *messages, size_t message_size, size_t count,
                 uint8_t *digests)
{
    enum { BATCH = 256 };
    const uint8_t *pointers[BATCH];
    while (count) {
        size_t n = count < BATCH ? count : BATCH;
        for (size_t i = 0; i < n; i++, messages += message_size)
            pointers[i] = messages;
        pn_hash_many(frame, pointers, n, digests);
        digests += n * pn_digest_size(frame->algorithm);
        count -= n;
    }
}

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void pn_engine_calibrate(enum pn_algorithm algorithm)
{
    static const uint8_t zeros[RACE_MESSAGE];
    if (atomic_exchange_explicit(&settled[algorithm - 1], 1, memory_order_relaxed))
        return;
    const uint8_t *messages[RACE_COUNT];
    uint8_t digests[RACE_COUNT * PN_DIGEST_MAX];
    struct pn_frame frame;
    uint64_t best = UINT64_MAX;
    size_t winner = choice(algorithm);
    uint32_t before_race = (uint32_t)winner + 1;
    pn_frame_init(&frame, algorithm, NULL, 0, RACE_MESSAGE);
    for (size_t i = 0; i < RACE_COUNT; i++)
        messages[i] = zeros;
    for (size_t k = 0; k < pn_kernel_count; k++) {
        const struct pn_kernel *kernel = pn_kernels[k];
        if (kernel->algorithm != algorithm || !pn_kernel_supported(kernel))
            continue;
        for (unsigned round = 0; round < RACE_ROUNDS; round++) {
            uint64_t before = nanoseconds();
            kernel->run(&frame, messages, RACE_COUNT / kernel->lanes, digests);
            uint64_t taken = nanoseconds() - before;
            if (taken < best)
                best = taken, winner = k;
            if (taken > 3 * best)
                break; /* a slow kernel is not worth more of the race */
        }
    }
    /* Unless somebody has chosen a kernel meanwhile. */
    atomic_compare_exchange_strong_explicit(&chosen[algorithm - 1], &before_race, (uint32_t)winner + 1,
                                            memory_order_relaxed, memory_order_relaxed);
}

int pn_engine_force(const char *name)
{
    if (!name) {
        for (unsigned i = 0; i < ALGORITHMS; i++) {
            atomic_store_explicit(&chosen[i], 0, memory_order_relaxed);
            atomic_store_explicit(&settled[i], 0, memory_order_relaxed);
        }
        return 0;
    }
    for (size_t k = 0; k < pn_kernel_count; k++) {
        if (strcmp(pn_kernels[k]->name, name) != 0)
            continue;
        if (!pn_kernel_supported(pn_kernels[k]))
            return -ENOTSUP;
        atomic_store_explicit(&settled[pn_kernels[k]->algorithm - 1], 1, memory_order_relaxed);
        atomic_store_explicit(&chosen[pn_kernels[k]->algorithm - 1], (uint32_t)k + 1, memory_order_relaxed);
        return 0;
    }
    return -ENOENT;
}

void pn_frame_init(struct pn_frame *frame, enum pn_algorithm algorithm, const uint8_t *salt, size_t salt_size,
                   size_t message_size)
{
    const size_t block_size = pn_hash_block_size(algorithm);
    const uint64_t bits = 8 * (uint64_t)(message_size + (salt_size ? block_size : 0));
    uint8_t block[128] = {0x80};

    memset(frame, 0, sizeof(*frame));
    frame->algorithm = algorithm;
    frame->body_blocks = (uint32_t)(message_size / block_size);
    for (unsigned i = 0; i < 8; i++)
        block[block_size - 1 - i] = (uint8_t)(bits >> (8 * i));
    if (algorithm == PN_SHA256) {
        memcpy(frame->start.w32, pn_sha256_initial, sizeof(pn_sha256_initial));
        pn_sha256_schedule(frame->tail_schedule.w32, block);
    } else {
        memcpy(frame->start.w64, pn_sha512_initial, sizeof(pn_sha512_initial));
        pn_sha512_schedule(frame->tail_schedule.w64, block);
    }
    if (salt_size) { /* fs-verity pads the salt with zeros to one whole block of the hash */
        memset(block, 0, sizeof(block));
        memcpy(block, salt, salt_size);
        if (algorithm == PN_SHA256)
            pn_sha256_compress(frame->start.w32, block);
        else
            pn_sha512_compress(frame->start.w64, block);
    }
}
