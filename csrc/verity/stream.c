/* SPDX-License-Identifier: MIT
 *
 * The incremental hasher: data arrives in pieces of any size, whole blocks are hashed where they lie.
 */
#include "engine.h"
#include "merkle.h"
#include "powernode.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct pn_verity_stream {
    struct pn_plan plan;
    struct pn_merkle merkle;
    uint64_t size;
    uint32_t held; /* bytes in `partial` */
    int32_t over;  /* -EBUSY once finished, the error once something failed: what came before it is lost */
    atomic_flag in_use;
    uint8_t partial[];
};

int32_t pn_verity_stream_new(uint32_t algorithm, uint32_t block_size, const uint8_t *salt, uint32_t salt_size,
                             struct pn_verity_stream **out)
{
    struct pn_plan plan;
    int error = pn_plan_init(&plan, algorithm, block_size, salt, salt_size);
    if (error)
        return error;
    struct pn_verity_stream *stream = calloc(1, sizeof(*stream) + block_size);
    if (!stream)
        return -ENOMEM;
    stream->plan = plan;
    atomic_flag_clear(&stream->in_use);
    pn_merkle_init(&stream->merkle, &stream->plan);
    *out = stream;
    return 0;
}

void pn_verity_stream_free(struct pn_verity_stream *stream)
{
    if (!stream)
        return;
    pn_merkle_free(&stream->merkle);
    free(stream);
}

static int push_blocks(struct pn_verity_stream *stream, const uint8_t *data, uint64_t count)
{
    enum { BATCH = 256 };
    uint8_t digests[BATCH * PN_DIGEST_MAX];
    const size_t block_size = stream->plan.block_size;
    while (count) {
        size_t n = count < BATCH ? (size_t)count : BATCH;
        pn_hash_run(&stream->plan.block, data, block_size, n, digests);
        int error = pn_merkle_push(&stream->merkle, 0, digests, n);
        if (error)
            return error;
        data += n * block_size, count -= n;
    }
    return 0;
}

static int update(struct pn_verity_stream *stream, const uint8_t *data, uint64_t size)
{
    const uint32_t block_size = stream->plan.block_size;
    stream->size += size;
    if (stream->held) {
        uint64_t take = block_size - stream->held < size ? block_size - stream->held : size;
        memcpy(stream->partial + stream->held, data, take);
        stream->held += (uint32_t)take, data += take, size -= take;
        if (stream->held < block_size)
            return 0;
        stream->held = 0;
        int error = push_blocks(stream, stream->partial, 1);
        if (error)
            return error;
    }
    int error = push_blocks(stream, data, size / block_size);
    if (error)
        return error;
    stream->held = (uint32_t)(size % block_size);
    if (stream->held)
        memcpy(stream->partial, data + size - stream->held, stream->held);
    return 0;
}

static int finish(struct pn_verity_stream *stream, uint8_t *digest)
{
    if (stream->held) {
        memset(stream->partial + stream->held, 0, stream->plan.block_size - stream->held);
        int error = push_blocks(stream, stream->partial, 1);
        if (error)
            return error;
    }
    return pn_merkle_finish(&stream->merkle, stream->size, digest);
}

/* Callers hold no lock while we work; two threads in one stream are refused before they can hurt each other. */
int32_t pn_verity_stream_update(struct pn_verity_stream *stream, const uint8_t *data, uint64_t size)
{
    if (atomic_flag_test_and_set_explicit(&stream->in_use, memory_order_acquire))
        return -EBUSY;
    int error = stream->over;
    if (!error && size)
        error = stream->over = update(stream, data, size);
    atomic_flag_clear_explicit(&stream->in_use, memory_order_release);
    return error;
}

int32_t pn_verity_stream_finish(struct pn_verity_stream *stream, uint8_t *digest)
{
    if (atomic_flag_test_and_set_explicit(&stream->in_use, memory_order_acquire))
        return -EBUSY;
    int error = stream->over;
    if (!error) {
        error = finish(stream, digest);
        stream->over = error ? error : -EBUSY;
    }
    atomic_flag_clear_explicit(&stream->in_use, memory_order_release);
    return error;
}
