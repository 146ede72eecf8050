/* SPDX-License-Identifier: MIT */
#include "sha256.h"
#include "../verity/cpu.h"
#include "../verity/kernel.h"

#include <string.h>

enum { BLOCK = 64 };

static void run_portable(uint32_t *const states[3], unsigned count, const uint8_t *data, const uint8_t *other,
                         size_t blocks)
{
    for (unsigned i = 0; i < count; i++)
        for (size_t block = 0; block < blocks; block++)
            pn_sha256_compress(states[i], (i == 2 ? other : data) + BLOCK * block);
}

static pn_sha256_blocks *choose(void)
{
#if defined(__x86_64__)
    const uint32_t needed = PN_CPU_SHANI | PN_CPU_AVX2;
#else
    const uint32_t needed = PN_CPU_ARM_SHA2;
#endif
    return pn_sha256_blocks_unit && (pn_cpu_features() & needed) == needed ? pn_sha256_blocks_unit : run_portable;
}

void pn_sha256_start(struct pn_sha256 *hash)
{
    memset(hash, 0, sizeof(*hash));
    memcpy(hash->state, pn_sha256_initial, sizeof(hash->state));
    hash->run = choose();
}

static void run_one(struct pn_sha256 *hash, const uint8_t *data, size_t blocks)
{
    uint32_t *const states[3] = {hash->state};
    hash->run(states, 1, data, NULL, blocks);
}

/* Fills the block that is held; returns how much of `data` that took. */
static size_t top_up(struct pn_sha256 *hash, const uint8_t *data, size_t size)
{
    size_t take = BLOCK - hash->held < size ? BLOCK - hash->held : size;
    if (hash->held == 0 || size == 0)
        return 0;
    memcpy(hash->partial + hash->held, data, take);
    hash->held += (uint32_t)take;
    if (hash->held == BLOCK) {
        run_one(hash, hash->partial, 1);
        hash->held = 0;
    }
    return take;
}

static void hold(struct pn_sha256 *hash, const uint8_t *data, size_t size)
{
    if (size)
        memcpy(hash->partial, data, size);
    hash->held = (uint32_t)size;
}

void pn_sha256_update(struct pn_sha256 *hash, const uint8_t *data, size_t size)
{
    hash->size += size;
    size_t taken = top_up(hash, data, size);
    data += taken, size -= taken;
    if (size == 0)
        return;
    run_one(hash, data, size / BLOCK);
    hold(hash, data + size / BLOCK * BLOCK, size % BLOCK);
}

size_t pn_sha256_update_three(struct pn_sha256 *first, struct pn_sha256 *second, const uint8_t *data, size_t size,
                              struct pn_sha256 *third, const uint8_t *other, size_t other_size)
{
    if (first->held || second->held) {
        pn_sha256_update(first, data, size);
        pn_sha256_update(second, data, size);
        return 0;
    }
    uint32_t *const states[3] = {first->state, second->state, third->state};
    size_t taken = top_up(third, other, other_size), blocks = size / BLOCK;
    size_t with_other = third->held ? 0 : (other_size - taken) / BLOCK;
    with_other = with_other < blocks ? with_other : blocks;
    first->run(states, 3, data, other + taken, with_other);
    first->run(states, 2, data + BLOCK * with_other, NULL, blocks - with_other);
    hold(first, data + BLOCK * blocks, size % BLOCK);
    hold(second, data + BLOCK * blocks, size % BLOCK);
    taken += BLOCK * with_other;
    first->size += size;
    second->size += size;
    third->size += taken;
    return taken;
}

void pn_sha256_finish(struct pn_sha256 *hash, uint8_t digest[32])
{
    static const uint8_t padding[BLOCK] = {0x80};
    uint8_t length[8];
    uint64_t bits = hash->size * 8;
    for (unsigned i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    pn_sha256_update(hash, padding, 1 + (BLOCK + 55 - hash->held) % BLOCK);
    pn_sha256_update(hash, length, sizeof(length));
    for (unsigned i = 0; i < 32; i++)
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}
