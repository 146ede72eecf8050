/* SPDX-License-Identifier: MIT
 *
 * SHA-256 of sixteen messages in AVX-512 lanes: the fastest where zmm operations run at full width (Intel, Zen 5).
 * A rotation and any function of three inputs are one instruction each here, which halves the work against AVX2.
 */
#include "kernels.h"

#if defined(__x86_64__)
#include "cpu.h"
#include "x86_transpose.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx2")))
#define BITS 256
#define LANES 16
#define V __m512i
#define ADD _mm512_add_epi32
#define XOR3(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0x96)
#define CH(e, f, g) _mm512_ternarylogic_epi32(e, f, g, 0xca)
#define MAJ(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xe8)
#define SHR _mm512_srli_epi32
#define ROR _mm512_ror_epi32
#define SET1(x) _mm512_set1_epi32((int)(x))

/* Two 8x8 transpositions side by side give eight of the sixteen words for lanes 0-7 and 8-15. */
TARGET static inline void load16(V w[16], const uint8_t *const *from, size_t offset)
{
    for (unsigned half = 0; half < 2; half++, w += 8, offset += 32) {
        __m256i low[8], high[8];
        for (unsigned lane = 0; lane < 8; lane++) {
            low[lane] = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)(from[lane] + offset)), PN_SWAP32);
            high[lane] = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)(from[lane + 8] + offset)), PN_SWAP32);
        }
        PN_TRANSPOSE_8X8(low);
        PN_TRANSPOSE_8X8(high);
        for (unsigned word = 0; word < 8; word++)
            w[word] = _mm512_inserti64x4(_mm512_castsi256_si512(low[word]), high[word], 1);
    }
}

TARGET static inline void store8(const V state[8], uint8_t *digests)
{
    __m256i low[8], high[8];
    for (unsigned word = 0; word < 8; word++) {
        low[word] = _mm512_castsi512_si256(state[word]);
        high[word] = _mm512_extracti64x4_epi64(state[word], 1);
    }
    PN_TRANSPOSE_8X8(low);
    PN_TRANSPOSE_8X8(high);
    for (unsigned lane = 0; lane < 8; lane++) {
        _mm256_storeu_si256((__m256i *)(digests + 32 * lane), _mm256_shuffle_epi8(low[lane], PN_SWAP32));
        _mm256_storeu_si256((__m256i *)(digests + 32 * (lane + 8)), _mm256_shuffle_epi8(high[lane], PN_SWAP32));
    }
}

#define LOAD16 load16
#define STORE8 store8
#include "sha2_lanes.h"

const struct pn_kernel pn_sha256_avx512_16 = {.name = "sha256-avx512-16",
                                              .algorithm = PN_SHA256,
                                              .lanes = 16,
                                              .features = PN_CPU_AVX512 | PN_CPU_AVX2,
                                              .worth = 7,
                                              .run = run_lanes};
#endif
