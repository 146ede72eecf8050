/* SPDX-License-Identifier: MIT
 *
 * SHA-512 with the ARMv8.2 SHA-512 instructions, one or two messages at a time; see sha256_armce.c for why several.
 */
#include "kernels.h"

#if defined(__aarch64__)
#if defined(__AARCH64EB__)
#error "the arm64 kernels are for little-endian systems: lane order and byte swaps assume it"
#endif
#include "cpu.h"

/* The instructions came with the SHA-3 ones, and compilers switch both by one name. clang: see sha256_armce.c. */
#if defined(__clang__)
#ifndef __ARM_FEATURE_SHA512
#define __ARM_FEATURE_SHA512 1
#endif
#define TARGET __attribute__((target("sha3")))
#else
#define TARGET __attribute__((optimize("schedule-insns2"), target("arch=armv8.2-a+sha3")))
#endif
#include <arm_neon.h>

#include "sha2_streams.h"

INLINE uint64x2_t load_words(const uint8_t *from)
{
    return vreinterpretq_u64_u8(vrev64q_u8(vld1q_u8(from)));
}

INLINE void store_words(uint8_t *to, uint64x2_t words)
{
    vst1q_u8(to, vrev64q_u8(vreinterpretq_u8_u64(words)));
}

/* Two rounds of one stream, in place: the pair `gh` becomes the new `ab`, and `cd` the new `ef`. The instructions take
 * words plus constants with the halves swapped, f|g and d|e pairs cut out of their neighbours, and leave the sum with
 * the old c|d to us. */
INLINE void two_rounds(uint64x2_t ab, uint64x2_t *cd, uint64x2_t ef, uint64x2_t *gh, uint64x2_t wk)
{
    uint64x2_t sum = vaddq_u64(*gh, vextq_u64(wk, wk, 1));
    sum = vsha512hq_u64(sum, vextq_u64(ef, *gh, 1), vextq_u64(*cd, ef, 1));
    *gh = vsha512h2q_u64(sum, *cd, ab);
    *cd = vaddq_u64(*cd, sum);
}

/* `s` counts pairs of rounds: after each the roles of the four state pairs move on by one. */
#define STATE(s, pair) state[((pair) + 32 - ((s) & 3)) & 3][j]
#define TWO_ROUNDS(s, wk) two_rounds(STATE(s, 0), &STATE(s, 1), STATE(s, 2), &STATE(s, 3), wk)
#define WORDS_PLUS_K(s) vaddq_u64(w[(s) & 7][j], vld1q_u64(pn_sha512_k + 2 * (s)))
#define PAIR(s)                         \
    EACH                                \
    {                                   \
        TWO_ROUNDS(s, WORDS_PLUS_K(s)); \
    }
/* The same, and the pair of words just used becomes that of sixteen rounds later. */
#define PAIR_EXTEND(s)                                                                                        \
    EACH                                                                                                      \
    {                                                                                                         \
        uint64x2_t wk = WORDS_PLUS_K(s);                                                                      \
        uint64x2_t later = vextq_u64(w[((s) + 4) & 7][j], w[((s) + 5) & 7][j], 1);                            \
        w[(s) & 7][j] =                                                                                       \
            vsha512su1q_u64(vsha512su0q_u64(w[(s) & 7][j], w[((s) + 1) & 7][j]), w[((s) + 7) & 7][j], later); \
        TWO_ROUNDS(s, wk);                                                                                    \
    }
#define FOUR_PAIRS(kind, s) \
    do {                    \
        kind((s) + 0);      \
        kind((s) + 1);      \
        kind((s) + 2);      \
        kind((s) + 3);      \
    } while (0)

INLINE void run_streams(const unsigned streams, const struct pn_frame *frame, const uint8_t *const *messages,
                        uint8_t *digests)
{
    uint64x2_t state[4][2], save[4][2], w[8][2];
    const uint8_t *from[2];

    EACH from[j] = messages[j];
    for (unsigned pair = 0; pair < 4; pair++)
        EACH state[pair][j] = vld1q_u64(frame->start.w64 + 2 * pair);
    for (uint32_t block = 0; block < frame->body_blocks; block++) {
        for (unsigned pair = 0; pair < 4; pair++)
            EACH save[pair][j] = state[pair][j];
        for (unsigned pair = 0; pair < 8; pair++)
            EACH w[pair][j] = load_words(from[j] + 16 * pair);
        EACH from[j] += 128;
        FOUR_PAIRS(PAIR_EXTEND, 0);
        FOUR_PAIRS(PAIR_EXTEND, 4);
        FOUR_PAIRS(PAIR_EXTEND, 8);
        FOUR_PAIRS(PAIR_EXTEND, 12);
        FOUR_PAIRS(PAIR_EXTEND, 16);
        FOUR_PAIRS(PAIR_EXTEND, 20);
        FOUR_PAIRS(PAIR_EXTEND, 24);
        FOUR_PAIRS(PAIR_EXTEND, 28);
        FOUR_PAIRS(PAIR, 32);
        FOUR_PAIRS(PAIR, 36);
        for (unsigned pair = 0; pair < 4; pair++)
            EACH state[pair][j] = vaddq_u64(state[pair][j], save[pair][j]);
    }
    for (unsigned pair = 0; pair < 4; pair++)
        EACH save[pair][j] = state[pair][j];
    for (unsigned t = 0; t < 80; t += 8) {
        const uint64_t *wk = frame->tail_schedule.w64 + t;
        EACH
        {
            TWO_ROUNDS(0, vld1q_u64(wk));
            TWO_ROUNDS(1, vld1q_u64(wk + 2));
            TWO_ROUNDS(2, vld1q_u64(wk + 4));
            TWO_ROUNDS(3, vld1q_u64(wk + 6));
        }
    }
    for (unsigned pair = 0; pair < 4; pair++)
        EACH store_words(digests + 64 * j + 16 * pair, vaddq_u64(state[pair][j], save[pair][j]));
}

STREAM_KERNEL(512, armce, 1, 1, PN_CPU_ARM_SHA512);
STREAM_KERNEL(512, armce, 2, 2, PN_CPU_ARM_SHA512);
#endif
