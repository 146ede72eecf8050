/* SPDX-License-Identifier: MIT */
#include "batch.h"

#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_BYTES = 1 << 20, FILES_MAX = 256 };

struct owed {
    uint64_t size;
    uint32_t first_leaf, leaves;
    uint8_t *digest;
};

struct pn_batch {
    const struct pn_plan *plan;
    uint64_t limit;
    size_t used; /* bytes of room, always whole blocks */
    uint32_t files, leaves;
    pn_batch_visit *visit;
    void *context;
    int error;
    struct owed owed[FILES_MAX];
    uint8_t descriptors[FILES_MAX][PN_DESCRIPTOR_SIZE];
    uint8_t digests[FILES_MAX][PN_DIGEST_MAX];
    uint8_t roots[FILES_MAX][PN_DIGEST_MAX];
    uint8_t *leaf_digests; /* of every block there is room for */
    uint8_t *hash_blocks;  /* one hash block a file that has more than one leaf */
    uint8_t *room;
};

int pn_batch_new(const struct pn_plan *plan, struct pn_batch **out)
{
    const size_t leaf_bytes = (size_t)(ROOM_BYTES / plan->block_size) * plan->digest_size;
    /* A file of two blocks or more needs a hash block: at most half as many as there are blocks of room. */
    const size_t hash_bytes =
        ROOM_BYTES / 2 < FILES_MAX * (size_t)plan->block_size ? ROOM_BYTES / 2 : FILES_MAX * (size_t)plan->block_size;
    struct pn_batch *batch = calloc(1, sizeof(*batch));
    if (!batch)
        return -ENOMEM;
    batch->plan = plan;
    /* One level of hashes above the data and room for some company in the lanes. */
    batch->limit = (uint64_t)plan->hashes_per_block * plan->block_size;
    if (batch->limit > ROOM_BYTES / 4)
        batch->limit = ROOM_BYTES / 4;
    batch->room = aligned_alloc(4096, ROOM_BYTES);
    batch->leaf_digests = malloc(leaf_bytes);
    batch->hash_blocks = aligned_alloc(4096, (hash_bytes + 4095) & ~(size_t)4095);
    if (!batch->room || !batch->leaf_digests || !batch->hash_blocks) {
        pn_batch_free(batch);
        return -ENOMEM;
    }
    *out = batch;
    return 0;
}

void pn_batch_free(struct pn_batch *batch)
{
    if (!batch)
        return;
    free(batch->room);
    free(batch->leaf_digests);
    free(batch->hash_blocks);
    free(batch);
}

void pn_batch_on_flush(struct pn_batch *batch, pn_batch_visit *visit, void *context)
{
    batch->visit = visit;
    batch->context = context;
}

int pn_batch_error(const struct pn_batch *batch)
{
    return batch->error;
}

uint64_t pn_batch_limit(const struct pn_batch *batch)
{
    return batch->limit;
}

uint8_t *pn_batch_reserve(struct pn_batch *batch, uint64_t size)
{
    const uint64_t needed = pn_blocks_of(batch->plan, size) * batch->plan->block_size;
    if (batch->files == FILES_MAX || batch->used + needed > ROOM_BYTES)
        pn_batch_flush(batch);
    return batch->room + batch->used;
}

void pn_batch_commit(struct pn_batch *batch, uint64_t size, uint8_t *digest)
{
    const struct pn_plan *plan = batch->plan;
    const uint32_t leaves = (uint32_t)pn_blocks_of(plan, size);
    const size_t rounded = (size_t)leaves * plan->block_size;
    memset(batch->room + batch->used + size, 0, rounded - size);
    batch->owed[batch->files++] =
        (struct owed){.size = size, .first_leaf = batch->leaves, .leaves = leaves, .digest = digest};
    batch->leaves += leaves;
    batch->used += rounded;
}

/* Level one: files of several blocks get their hash block, all of them in the lanes together. */
static void hash_roots(struct pn_batch *batch)
{
    const struct pn_plan *plan = batch->plan;
    const uint8_t *blocks[FILES_MAX] = {NULL};
    uint32_t file_of[FILES_MAX], count = 0;
    for (uint32_t i = 0; i < batch->files; i++) {
        const struct owed *owed = &batch->owed[i];
        const uint8_t *leaves = batch->leaf_digests + (size_t)owed->first_leaf * plan->digest_size;
        if (owed->leaves == 0) {
            memset(batch->roots[i], 0, PN_DIGEST_MAX);
        } else if (owed->leaves == 1) {
            memcpy(batch->roots[i], leaves, plan->digest_size);
        } else {
            uint8_t *block = batch->hash_blocks + (size_t)count * plan->block_size;
            const size_t filled = (size_t)owed->leaves * plan->digest_size;
            memcpy(block, leaves, filled);
            memset(block + filled, 0, plan->block_size - filled);
            blocks[count] = block;
            file_of[count++] = i;
        }
    }
    pn_hash_many(&plan->block, blocks, count, &batch->digests[0][0]);
    for (uint32_t i = 0; i < count; i++)
        memcpy(batch->roots[file_of[i]], &batch->digests[0][0] + (size_t)i * plan->digest_size, plan->digest_size);
}

void pn_batch_flush(struct pn_batch *batch)
{
    const struct pn_plan *plan = batch->plan;
    pn_hash_run(&plan->block, batch->room, plan->block_size, batch->leaves, batch->leaf_digests);
    hash_roots(batch);
    for (uint32_t i = 0; i < batch->files; i++)
        pn_descriptor(plan, batch->owed[i].size, batch->roots[i], batch->descriptors[i]);
    uint8_t *digests = &batch->digests[0][0];
    pn_hash_run(&plan->descriptor, batch->descriptors[0], PN_DESCRIPTOR_SIZE, batch->files, digests);
    for (uint32_t i = 0; i < batch->files; i++) {
        const struct owed *owed = &batch->owed[i];
        memcpy(owed->digest, digests + (size_t)i * plan->digest_size, plan->digest_size);
        if (batch->visit && !batch->error)
            batch->error = batch->visit(batch->context, owed->digest,
                                        batch->room + (size_t)owed->first_leaf * plan->block_size, owed->size);
    }
    batch->files = batch->leaves = 0;
    batch->used = 0;
}
