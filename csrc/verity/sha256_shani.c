/* SPDX-License-Identifier: MIT
 *
 * SHA-256 with the x86 SHA instructions, one, two or four messages at a time.
 *
 * sha256rnds2 needs four cycles for two rounds and each one waits for the one before, so a single message leaves the
 * unit idle three cycles of four on cores that can start one per cycle. Interleaving independent messages fills the
 * gap: two streams suffice where the unit starts one every other cycle, four where it starts one every cycle. With
 * four, the message words spill from the sixteen registers; the loads are free, because the FP pipes are what is
 * scarce.
 */
#include "kernels.h"

#if defined(__x86_64__)
#include "cpu.h"

#define TARGET __attribute__((target("sha,sse4.1,ssse3,avx2")))
#include "sha2_streams.h"
#include "x86_sha_state.h"

/* Four rounds of every stream; the next words grow out of m0..m3 meanwhile. Stream by stream rather than instruction by
 * instruction: fewer values are alive at once, and the core reorders across streams. */
#define FOUR_ROUNDS_OF_ONE(t, m0)                                                            \
    __m128i wk = _mm_add_epi32(m0[j], _mm_load_si128((const __m128i *)(pn_sha256_k + (t)))); \
    cdgh[j] = _mm_sha256rnds2_epu32(cdgh[j], abef[j], wk);                                   \
    abef[j] = _mm_sha256rnds2_epu32(abef[j], cdgh[j], _mm_shuffle_epi32(wk, 0x0e))
#define FOUR_ROUNDS(t, m0)         \
    EACH                           \
    {                              \
        FOUR_ROUNDS_OF_ONE(t, m0); \
    }
#define FOUR_ROUNDS_EXTEND(t, m0, m1, m2, m3)                                                        \
    EACH                                                                                             \
    {                                                                                                \
        FOUR_ROUNDS_OF_ONE(t, m0);                                                                   \
        m0[j] = _mm_add_epi32(_mm_sha256msg1_epu32(m0[j], m1[j]), _mm_alignr_epi8(m3[j], m2[j], 4)); \
        m0[j] = _mm_sha256msg2_epu32(m0[j], m3[j]);                                                  \
    }

INLINE void run_streams(const unsigned streams, const struct pn_frame *frame, const uint8_t *const *messages,
                        uint8_t *digests)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef[4], cdgh[4], save0[4], save1[4], a[4], b[4], c[4], d[4];
    const uint8_t *from[4];

    EACH load_state(frame->start.w32, &abef[j], &cdgh[j]);
    EACH from[j] = messages[j];
    for (uint32_t block = 0; block < frame->body_blocks; block++) {
        EACH save0[j] = abef[j], save1[j] = cdgh[j];
        EACH a[j] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)from[j]), swap);
        EACH b[j] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(from[j] + 16)), swap);
        EACH c[j] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(from[j] + 32)), swap);
        EACH d[j] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(from[j] + 48)), swap);
        EACH from[j] += 64;
        SHA256_BLOCK(a, b, c, d);
        EACH abef[j] = _mm_add_epi32(abef[j], save0[j]), cdgh[j] = _mm_add_epi32(cdgh[j], save1[j]);
    }
    EACH save0[j] = abef[j], save1[j] = cdgh[j];
    for (unsigned t = 0; t < 64; t += 4) {
        __m128i tail = _mm_loadu_si128((const __m128i *)(frame->tail_schedule.w32 + t));
        EACH cdgh[j] = _mm_sha256rnds2_epu32(cdgh[j], abef[j], tail);
        tail = _mm_shuffle_epi32(tail, 0x0e);
        EACH abef[j] = _mm_sha256rnds2_epu32(abef[j], cdgh[j], tail);
    }
    EACH store_digest(digests + 32 * j, _mm_add_epi32(abef[j], save0[j]), _mm_add_epi32(cdgh[j], save1[j]));
}

STREAM_KERNEL(256, shani, 1, 1, PN_CPU_SHANI | PN_CPU_AVX2);
STREAM_KERNEL(256, shani, 2, 2, PN_CPU_SHANI | PN_CPU_AVX2);
STREAM_KERNEL(256, shani, 4, 3, PN_CPU_SHANI | PN_CPU_AVX2);
#endif
