/* SPDX-License-Identifier: MIT
 *
 * The parameters of an fs-verity digest, checked, with everything derived from them. A plan is constant after
 * pn_plan_init and is shared by all threads.
 */
#ifndef PN_VERITY_PLAN_H
#define PN_VERITY_PLAN_H

#include "kernel.h"

enum { PN_DESCRIPTOR_SIZE = 256, PN_BLOCK_MIN = 1024, PN_BLOCK_MAX = 65536 };

struct pn_plan {
    enum pn_algorithm algorithm;
    uint32_t block_size;
    uint32_t digest_size;
    uint32_t hashes_per_block;
    uint32_t salt_size;
    uint8_t salt[PN_SALT_MAX];
    struct pn_frame block;      /* a data or hash block behind the salt */
    struct pn_frame descriptor; /* the 256 bytes whose hash is the file digest; never salted */
};

/* -EINVAL unless the algorithm is known, the block size a power of two within the limits and the salt at most 32 bytes.
 */
int pn_plan_init(struct pn_plan *plan, uint32_t algorithm, uint32_t block_size, const uint8_t *salt,
                 uint32_t salt_size);

/* The descriptor of a file of `size` bytes whose Merkle tree has this root. */
void pn_descriptor(const struct pn_plan *plan, uint64_t size, const uint8_t *root, uint8_t out[PN_DESCRIPTOR_SIZE]);

static inline uint64_t pn_blocks_of(const struct pn_plan *plan, uint64_t bytes)
{
    return bytes / plan->block_size + (bytes % plan->block_size != 0);
}

#endif
