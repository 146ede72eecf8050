/* SPDX-License-Identifier: MIT
 *
 * What a hash kernel is. fs-verity hashes very many messages of one length that all begin with the same salt, so a
 * kernel gets a `frame` (everything the messages share, worked out once) and a list of pointers, and may run several
 * messages in the lanes of a vector or in interleaved instruction streams. Every kernel gives the same bytes; they
 * differ in speed only.
 */
#ifndef PN_VERITY_KERNEL_H
#define PN_VERITY_KERNEL_H

#include <stddef.h>
#include <stdint.h>

enum pn_algorithm { PN_SHA256 = 1, PN_SHA512 = 2 }; /* the numbers of the kernel's fs-verity interface */

enum { PN_DIGEST_MAX = 64, PN_SALT_MAX = 32 };

/* All messages of one kind: the state after the salt, how many compressions the body takes, and the padding.
 * Messages are a whole number of hash blocks long, so the padding is always one more block, the same for every message:
 * its message schedule, with the round constants added, is computed here once instead of once per message. */
struct pn_frame {
    enum pn_algorithm algorithm;
    uint32_t body_blocks; /* 64-byte (SHA-256) or 128-byte (SHA-512) blocks in a message */
    union {
        uint32_t w32[8];
        uint64_t w64[8];
    } start;
    union {
        uint32_t w32[64];
        uint64_t w64[80];
    } tail_schedule;
};

/* `groups` (at least 1) times `lanes` messages of at least one block; digests are written one after the other in
 * message order. */
typedef void pn_kernel_run(const struct pn_frame *frame, const uint8_t *const *messages, size_t groups,
                           uint8_t *digests);

struct pn_kernel {
    const char *name;
    enum pn_algorithm algorithm;
    uint32_t lanes;
    uint32_t features; /* PN_CPU_* bits, all needed */
    uint32_t worth;    /* with at least this many messages, idle lanes cost less than a narrower kernel */
    pn_kernel_run *run;
};

/* The kernels built into this library, best guess first within an algorithm, the portable one last. */
extern const struct pn_kernel *const pn_kernels[];
extern const size_t pn_kernel_count;

extern const uint32_t pn_sha256_k[64];
extern const uint32_t pn_sha256_initial[8];
extern const uint64_t pn_sha512_k[80];
extern const uint64_t pn_sha512_initial[8];

/* In portable C, to prepare frames: the schedule of a block with the round constants added; one whole compression. */
void pn_sha256_schedule(uint32_t wk[64], const uint8_t *block);
void pn_sha512_schedule(uint64_t wk[80], const uint8_t *block);
void pn_sha256_compress(uint32_t state[8], const uint8_t *block);
void pn_sha512_compress(uint64_t state[8], const uint8_t *block);

static inline size_t pn_digest_size(enum pn_algorithm algorithm)
{
    return algorithm == PN_SHA256 ? 32 : 64;
}

static inline size_t pn_hash_block_size(enum pn_algorithm algorithm)
{
    return algorithm == PN_SHA256 ? 64 : 128;
}

#endif
