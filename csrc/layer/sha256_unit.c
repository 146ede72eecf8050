/* SPDX-License-Identifier: MIT
 *
 * Blocks of SHA-256 by the instructions for it of x86 and of ARMv8, into one to three states; why, is in sha256.h. The
 * kernels of csrc/verity are for many messages that all differ.
 *
 * States 0 and 1 see message 0, state 2 sees message 1. Everything is unrolled, so that arrays are registers.
 */
#include "../verity/kernel.h"
#include "sha256.h"

#if defined(__clang__)
#define EACH_MESSAGE for (unsigned k = 0; k < messages; k++)
#else
#define EACH_MESSAGE _Pragma("GCC unroll 2") for (unsigned k = 0; k < messages; k++)
#endif

#if defined(__x86_64__)
#define TARGET __attribute__((target("sha,sse4.1,ssse3,avx2")))
#include "../verity/sha2_streams.h"
#include "../verity/x86_sha_state.h"

#define FOUR_ROUNDS(t, m0)                                                                               \
    do {                                                                                                 \
        __m128i wk[2], high[2];                                                                          \
        EACH_MESSAGE wk[k] = _mm_add_epi32(m0[k], _mm_load_si128((const __m128i *)(pn_sha256_k + (t)))); \
        EACH_MESSAGE high[k] = _mm_shuffle_epi32(wk[k], 0x0e);                                           \
        EACH cdgh[j] = _mm_sha256rnds2_epu32(cdgh[j], abef[j], wk[j / 2]);                               \
        EACH abef[j] = _mm_sha256rnds2_epu32(abef[j], cdgh[j], high[j / 2]);                             \
    } while (0)
#define FOUR_ROUNDS_EXTEND(t, m0, m1, m2, m3)                                                                     \
    do {                                                                                                          \
        FOUR_ROUNDS(t, m0);                                                                                       \
        EACH_MESSAGE m0[k] = _mm_add_epi32(_mm_sha256msg1_epu32(m0[k], m1[k]), _mm_alignr_epi8(m3[k], m2[k], 4)); \
        EACH_MESSAGE m0[k] = _mm_sha256msg2_epu32(m0[k], m3[k]);                                                  \
    } while (0)

INLINE __m128i load_words(const uint8_t *from)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)from), swap);
}

INLINE void store_state(uint32_t *state, __m128i abef, __m128i cdgh)
{
    __m128i abcd = _mm_unpackhi_epi64(cdgh, abef), efgh = _mm_unpacklo_epi64(cdgh, abef);
    _mm_storeu_si128((__m128i *)state, _mm_shuffle_epi32(abcd, 0x1b));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_shuffle_epi32(efgh, 0x1b));
}

INLINE void run_states(const unsigned streams, uint32_t *const states[3], const uint8_t *const from[2], size_t blocks)
{
    const unsigned messages = streams > 2 ? 2 : 1;
    __m128i abef[3], cdgh[3], save0[3], save1[3], a[2], b[2], c[2], d[2];
    EACH load_state(states[j], &abef[j], &cdgh[j]);
    for (size_t at = 0; at < 64 * blocks; at += 64) {
        EACH_MESSAGE a[k] = load_words(from[k] + at), b[k] = load_words(from[k] + at + 16);
        EACH_MESSAGE c[k] = load_words(from[k] + at + 32), d[k] = load_words(from[k] + at + 48);
        EACH save0[j] = abef[j], save1[j] = cdgh[j];
        SHA256_BLOCK(a, b, c, d);
        EACH abef[j] = _mm_add_epi32(abef[j], save0[j]), cdgh[j] = _mm_add_epi32(cdgh[j], save1[j]);
    }
    EACH store_state(states[j], abef[j], cdgh[j]);
}
#define HAVE_UNIT 1

#elif defined(__aarch64__)
#if defined(__clang__)
#ifndef __ARM_FEATURE_SHA2
#define __ARM_FEATURE_SHA2 1
#endif
#define TARGET __attribute__((target("sha2")))
#else
#define TARGET __attribute__((optimize("schedule-insns2"), target("+crypto")))
#endif
#include <arm_neon.h>

#include "../verity/sha2_streams.h"

#define FOUR_ROUNDS(t, m0)                                                   \
    do {                                                                     \
        uint32x4_t wk[2];                                                    \
        EACH_MESSAGE wk[k] = vaddq_u32(m0[k], vld1q_u32(pn_sha256_k + (t))); \
        EACH                                                                 \
        {                                                                    \
            uint32x4_t before = abcd[j];                                     \
            abcd[j] = vsha256hq_u32(before, efgh[j], wk[j / 2]);             \
            efgh[j] = vsha256h2q_u32(efgh[j], before, wk[j / 2]);            \
        }                                                                    \
    } while (0)
#define FOUR_ROUNDS_EXTEND(t, m0, m1, m2, m3)                                              \
    do {                                                                                   \
        FOUR_ROUNDS(t, m0);                                                                \
        EACH_MESSAGE m0[k] = vsha256su1q_u32(vsha256su0q_u32(m0[k], m1[k]), m2[k], m3[k]); \
    } while (0)

INLINE uint32x4_t load_words(const uint8_t *from)
{
    return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(from)));
}

INLINE void run_states(const unsigned streams, uint32_t *const states[3], const uint8_t *const from[2], size_t blocks)
{
    const unsigned messages = streams > 2 ? 2 : 1;
    uint32x4_t abcd[3], efgh[3], save0[3], save1[3], a[2], b[2], c[2], d[2];
    EACH abcd[j] = vld1q_u32(states[j]), efgh[j] = vld1q_u32(states[j] + 4);
    for (size_t at = 0; at < 64 * blocks; at += 64) {
        EACH_MESSAGE a[k] = load_words(from[k] + at), b[k] = load_words(from[k] + at + 16);
        EACH_MESSAGE c[k] = load_words(from[k] + at + 32), d[k] = load_words(from[k] + at + 48);
        EACH save0[j] = abcd[j], save1[j] = efgh[j];
        SHA256_BLOCK(a, b, c, d);
        EACH abcd[j] = vaddq_u32(abcd[j], save0[j]), efgh[j] = vaddq_u32(efgh[j], save1[j]);
    }
    EACH vst1q_u32(states[j], abcd[j]), vst1q_u32(states[j] + 4, efgh[j]);
}
#define HAVE_UNIT 1
#endif

#ifdef HAVE_UNIT
TARGET static void run_unit(uint32_t *const states[3], unsigned count, const uint8_t *data, const uint8_t *other,
                            size_t blocks)
{
    const uint8_t *const from[2] = {data, other};
    if (blocks == 0)
        return;
    if (count == 3)
        run_states(3, states, from, blocks);
    else if (count == 2)
        run_states(2, states, from, blocks);
    else
        run_states(1, states, from, blocks);
}

pn_sha256_blocks *const pn_sha256_blocks_unit = run_unit;
#else
pn_sha256_blocks *const pn_sha256_blocks_unit = NULL;
#endif
