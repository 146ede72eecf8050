/* SPDX-License-Identifier: MIT
 *
 * SHA-256 of long streams; csrc/verity hashes many short messages.
 *
 * One stream leaves the hash unit idle most of the time, as each round waits for the one before. In a layer most bytes
 * belong to two streams at once, the file and the archive, and contents begin where the archive is at a multiple of 512
 * bytes: the blocks are the same ones, so each is expanded once and its rounds are run for both states side by side, in
 * the time of one. There is room for a third stream even then, of other bytes: the blob.
 */
#ifndef PN_LAYER_SHA256_H
#define PN_LAYER_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* `blocks` blocks of 64 bytes: of `data` into states[0] and, if `count` is 2 or 3, states[1]; if it is 3, as many of
 * `other` into states[2]. */
typedef void pn_sha256_blocks(uint32_t *const states[3], unsigned count, const uint8_t *data, const uint8_t *other,
                              size_t blocks);

struct pn_sha256 {
    pn_sha256_blocks *run;
    uint32_t state[8];
    uint32_t held; /* bytes in `partial` */
    uint64_t size;
    uint8_t partial[64];
};

void pn_sha256_start(struct pn_sha256 *hash);
void pn_sha256_update(struct pn_sha256 *hash, const uint8_t *data, size_t size);
/* `data` into both, and meanwhile as much of `other` into `third` as costs no time; returns how much that was. */
size_t pn_sha256_update_three(struct pn_sha256 *first, struct pn_sha256 *second, const uint8_t *data, size_t size,
                              struct pn_sha256 *third, const uint8_t *other, size_t other_size);
void pn_sha256_finish(struct pn_sha256 *hash, uint8_t digest[32]);

extern pn_sha256_blocks *const pn_sha256_blocks_unit; /* by the CPU's own instructions; NULL where we know none */

#endif
