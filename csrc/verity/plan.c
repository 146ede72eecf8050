/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include "engine.h"

#include <errno.h>
#include <string.h>

int pn_plan_init(struct pn_plan *plan, uint32_t algorithm, uint32_t block_size, const uint8_t *salt, uint32_t salt_size)
{
    if (algorithm != PN_SHA256 && algorithm != PN_SHA512)
        return -EINVAL;
    if (block_size < PN_BLOCK_MIN || block_size > PN_BLOCK_MAX || (block_size & (block_size - 1)))
        return -EINVAL;
    if (salt_size > PN_SALT_MAX || (salt_size && !salt))
        return -EINVAL;
    memset(plan, 0, sizeof(*plan));
    plan->algorithm = (enum pn_algorithm)algorithm;
    plan->block_size = block_size;
    plan->digest_size = (uint32_t)pn_digest_size(plan->algorithm);
    plan->hashes_per_block = block_size / plan->digest_size;
    plan->salt_size = salt_size;
    if (salt_size)
        memcpy(plan->salt, salt, salt_size);
    pn_frame_init(&plan->block, plan->algorithm, salt, salt_size, block_size);
    pn_frame_init(&plan->descriptor, plan->algorithm, NULL, 0, PN_DESCRIPTOR_SIZE);
    return 0;
}

/* struct fsverity_descriptor of the kernel, little-endian: version 1, algorithm, log2 of the block size, salt size, a
 * zero word, the file size, the root hash in 64 bytes, the salt in 32, zeros. */
void pn_descriptor(const struct pn_plan *plan, uint64_t size, const uint8_t *root, uint8_t out[PN_DESCRIPTOR_SIZE])
{
    uint8_t log2 = 0;
    while ((1u << log2) < plan->block_size)
        log2++;
    memset(out, 0, PN_DESCRIPTOR_SIZE);
    out[0] = 1;
    out[1] = (uint8_t)plan->algorithm;
    out[2] = log2;
    out[3] = (uint8_t)plan->salt_size;
    for (unsigned i = 0; i < 8; i++)
        out[8 + i] = (uint8_t)(size >> (8 * i));
    memcpy(out + 16, root, plan->digest_size);
    memcpy(out + 80, plan->salt, plan->salt_size);
}
