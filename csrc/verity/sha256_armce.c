/* SPDX-License-Identifier: MIT
 *
 * SHA-256 with the ARMv8 SHA-2 instructions, one, two or four messages at a time.
 *
 * Four rounds are one sha256h and one sha256h2. The two do not wait for each other, but the next four rounds wait for
 * both: one message leaves the unit idle for most of their latency (four or five cycles on the cores of today). Two
 * messages fill a unit that starts one such instruction per cycle, four are for cores with two units. See
 * docs/adr/0003-arm64-kernels.md.
 */
#include "kernels.h"

#if defined(__aarch64__)
#if defined(__AARCH64EB__)
#error "the arm64 kernels are for little-endian systems: lane order and byte swaps assume it"
#endif
#include "cpu.h"

/* The compiler must know the instructions in these functions only: the rest of the library runs on every arm64 CPU.
 * clang before 16 hides the intrinsics unless the whole file may use them; announcing the feature to its header is
 * enough. gcc: the last scheduling pass, which the x86 kernels are better without, is worth a quarter on the in-order
 * Cortex-A55. */
#if defined(__clang__)
#ifndef __ARM_FEATURE_SHA2
#define __ARM_FEATURE_SHA2 1
#endif
#define TARGET __attribute__((target("sha2")))
#else
#define TARGET __attribute__((optimize("schedule-insns2"), target("+crypto")))
#endif
#include <arm_neon.h>

#include "sha2_streams.h"

INLINE uint32x4_t load_words(const uint8_t *from)
{
    return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(from)));
}

INLINE void store_words(uint8_t *to, uint32x4_t words)
{
    vst1q_u8(to, vrev32q_u8(vreinterpretq_u8_u32(words)));
}

/* Four rounds of every stream, `wk` being message words plus constants. Stream by stream, as in sha256_shani.c: few
 * values are alive at once. */
#define FOUR_ROUNDS_OF_ONE(wk)                    \
    uint32x4_t before = abcd[j];                  \
    abcd[j] = vsha256hq_u32(before, efgh[j], wk); \
    efgh[j] = vsha256h2q_u32(efgh[j], before, wk)
#define FOUR_ROUNDS(t, m0)                                              \
    EACH                                                                \
    {                                                                   \
        uint32x4_t wk = vaddq_u32(m0[j], vld1q_u32(pn_sha256_k + (t))); \
        FOUR_ROUNDS_OF_ONE(wk);                                         \
    }
#define FOUR_ROUNDS_EXTEND(t, m0, m1, m2, m3)                                 \
    EACH                                                                      \
    {                                                                         \
        uint32x4_t wk = vaddq_u32(m0[j], vld1q_u32(pn_sha256_k + (t)));       \
        m0[j] = vsha256su1q_u32(vsha256su0q_u32(m0[j], m1[j]), m2[j], m3[j]); \
        FOUR_ROUNDS_OF_ONE(wk);                                               \
    }

INLINE void run_streams(const unsigned streams, const struct pn_frame *frame, const uint8_t *const *messages,
                        uint8_t *digests)
{
    uint32x4_t abcd[4], efgh[4], save0[4], save1[4], a[4], b[4], c[4], d[4];
    const uint8_t *from[4];

    EACH abcd[j] = vld1q_u32(frame->start.w32), efgh[j] = vld1q_u32(frame->start.w32 + 4);
    EACH from[j] = messages[j];
    for (uint32_t block = 0; block < frame->body_blocks; block++) {
        EACH save0[j] = abcd[j], save1[j] = efgh[j];
        EACH a[j] = load_words(from[j]), b[j] = load_words(from[j] + 16);
        EACH c[j] = load_words(from[j] + 32), d[j] = load_words(from[j] + 48);
        EACH from[j] += 64;
        SHA256_BLOCK(a, b, c, d);
        EACH abcd[j] = vaddq_u32(abcd[j], save0[j]), efgh[j] = vaddq_u32(efgh[j], save1[j]);
    }
    EACH save0[j] = abcd[j], save1[j] = efgh[j];
    for (unsigned t = 0; t < 64; t += 4) {
        uint32x4_t wk = vld1q_u32(frame->tail_schedule.w32 + t);
        EACH
        {
            FOUR_ROUNDS_OF_ONE(wk);
        }
    }
    EACH store_words(digests + 32 * j, vaddq_u32(abcd[j], save0[j]));
    EACH store_words(digests + 32 * j + 16, vaddq_u32(efgh[j], save1[j]));
}

STREAM_KERNEL(256, armce, 1, 1, PN_CPU_ARM_SHA2);
STREAM_KERNEL(256, armce, 2, 2, PN_CPU_ARM_SHA2);
STREAM_KERNEL(256, armce, 4, 3, PN_CPU_ARM_SHA2);
#endif
