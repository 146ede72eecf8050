/* SPDX-License-Identifier: MIT */
#include "merkle.h"

#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void pn_merkle_init(struct pn_merkle *merkle, const struct pn_plan *plan)
{
    memset(merkle, 0, sizeof(*merkle));
    merkle->plan = plan;
}

void pn_merkle_free(struct pn_merkle *merkle)
{
    for (unsigned i = 0; i < PN_LEVELS_MAX; i++)
        free(merkle->level[i].block);
    memset(merkle, 0, sizeof(*merkle));
}

/* Hashes the waiting block of a level, padded with zeros, into the next level. */
static int close_block(struct pn_merkle *merkle, unsigned level)
{
    const struct pn_plan *plan = merkle->plan;
    uint8_t digest[PN_DIGEST_MAX], *block = merkle->level[level].block;
    size_t filled = (size_t)merkle->level[level].held * plan->digest_size;
    memset(block + filled, 0, plan->block_size - filled);
    merkle->level[level].held = 0;
    pn_hash_run(&plan->block, block, plan->block_size, 1, digest);
    return pn_merkle_push(merkle, level + 1, digest, 1);
}

/* Depth of the mutual recursion is the height of the tree, at most PN_LEVELS_MAX. */
int pn_merkle_push(struct pn_merkle *merkle, unsigned level, const uint8_t *digests, size_t count)
{
    enum { BATCH = 64 };
    const struct pn_plan *plan = merkle->plan;
    const size_t size = plan->digest_size, per_block = plan->hashes_per_block;
    if (level >= PN_LEVELS_MAX)
        return -EFBIG;
    merkle->level[level].seen += count;
    while (count) {
        uint32_t held = merkle->level[level].held;
        if (held == 0 && count >= per_block) { /* whole blocks straight from the caller's memory, many at a time */
            uint8_t up[BATCH * PN_DIGEST_MAX];
            size_t blocks = count / per_block < BATCH ? count / per_block : BATCH;
            pn_hash_run(&plan->block, digests, plan->block_size, blocks, up);
            int error = pn_merkle_push(merkle, level + 1, up, blocks);
            if (error)
                return error;
            digests += blocks * plan->block_size, count -= blocks * per_block;
            continue;
        }
        if (!merkle->level[level].block && !(merkle->level[level].block = malloc(plan->block_size)))
            return -ENOMEM;
        size_t take = per_block - held < count ? per_block - held : count;
        memcpy(merkle->level[level].block + held * size, digests, take * size);
        merkle->level[level].held = held + (uint32_t)take;
        digests += take * size, count -= take;
        if (merkle->level[level].held == per_block) {
            int error = close_block(merkle, level);
            if (error)
                return error;
        }
    }
    return 0;
}

static void file_digest(const struct pn_plan *plan, uint64_t size, const uint8_t *root, uint8_t *digest)
{
    uint8_t descriptor[PN_DESCRIPTOR_SIZE];
    pn_descriptor(plan, size, root, descriptor);
    pn_hash_run(&plan->descriptor, descriptor, PN_DESCRIPTOR_SIZE, 1, digest);
}

int pn_merkle_finish(struct pn_merkle *merkle, uint64_t size, uint8_t *digest)
{
    static const uint8_t empty[PN_DIGEST_MAX];
    const uint8_t *root = empty; /* an empty file has no tree; its root hash is all zero */
    for (unsigned level = 0; size && level < PN_LEVELS_MAX; level++) {
        if (merkle->level[level].seen == 1) { /* one digest alone is the root */
            root = merkle->level[level].block;
            break;
        }
        int error = merkle->level[level].held ? close_block(merkle, level) : 0;
        if (error)
            return error;
    }
    file_digest(merkle->plan, size, root, digest);
    return 0;
}

/* Sizes of the levels from the leaves up, in blocks; returns how many there are. A tree over one block has none. */
static unsigned level_blocks(const struct pn_plan *plan, uint64_t size, uint64_t blocks[PN_LEVELS_MAX])
{
    unsigned levels = 0;
    for (uint64_t n = pn_blocks_of(plan, size); n > 1; levels++)
        blocks[levels] = n = n / plan->hashes_per_block + (n % plan->hashes_per_block != 0);
    return levels;
}

uint64_t pn_merkle_tree_size(const struct pn_plan *plan, uint64_t size)
{
    uint64_t blocks[PN_LEVELS_MAX], total = 0;
    for (unsigned levels = level_blocks(plan, size, blocks); levels--;)
        total += blocks[levels];
    return total * plan->block_size;
}

uint64_t pn_merkle_leaves_at(const struct pn_plan *plan, uint64_t size)
{
    uint64_t blocks[PN_LEVELS_MAX];
    return level_blocks(plan, size, blocks) ? pn_merkle_tree_size(plan, size) - blocks[0] * plan->block_size : 0;
}

void pn_merkle_fill(const struct pn_plan *plan, uint64_t size, uint8_t *tree, uint8_t *digest)
{
    uint64_t blocks[PN_LEVELS_MAX];
    unsigned levels = level_blocks(plan, size, blocks);
    uint8_t root[PN_DIGEST_MAX] = {0};
    uint8_t *lower = tree + pn_merkle_leaves_at(plan, size);
    for (unsigned level = 1; level < levels; level++) {
        uint8_t *upper = lower - blocks[level] * plan->block_size;
        memset(upper, 0, blocks[level] * plan->block_size);
        pn_hash_run(&plan->block, lower, plan->block_size, blocks[level - 1], upper);
        lower = upper;
    }
    if (levels)
        pn_hash_run(&plan->block, tree, plan->block_size, 1, root);
    file_digest(plan, size, root, digest);
}
