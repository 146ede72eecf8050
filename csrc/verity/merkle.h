/* SPDX-License-Identifier: MIT
 *
 * The upper levels of the Merkle tree, built while digests of lower levels arrive in order. Memory: one block a level.
 */
#ifndef PN_VERITY_MERKLE_H
#define PN_VERITY_MERKLE_H

#include "plan.h"

enum { PN_LEVELS_MAX = 16 }; /* 2^63 bytes in 1 KiB blocks of SHA-512 need 14 */

struct pn_merkle {
    const struct pn_plan *plan;
    struct {
        uint8_t *block; /* digests that wait for a full block; allocated when the level first gets one */
        uint32_t held;
        uint64_t seen;
    } level[PN_LEVELS_MAX];
};

void pn_merkle_init(struct pn_merkle *merkle, const struct pn_plan *plan);

/* Appends digests to a level: 0 holds the digests of data blocks. 0 or -ENOMEM. */
int pn_merkle_push(struct pn_merkle *merkle, unsigned level, const uint8_t *digests, size_t count);

/* Closes every level and gives the digest of the file of `size` bytes. */
int pn_merkle_finish(struct pn_merkle *merkle, uint64_t size, uint8_t *digest);

void pn_merkle_free(struct pn_merkle *merkle);

/* The tree as the kernel stores it: the root's block first, the leaves' blocks last, each level padded with zeros. */
uint64_t pn_merkle_tree_size(const struct pn_plan *plan, uint64_t size);

/* Offset in that tree of the digests of the data blocks. */
uint64_t pn_merkle_leaves_at(const struct pn_plan *plan, uint64_t size);

/* Fills the levels above the leaves (already in place, padding zeroed) and gives the file digest. */
void pn_merkle_fill(const struct pn_plan *plan, uint64_t size, uint8_t *tree, uint8_t *digest);

#endif
