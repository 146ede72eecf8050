/* SPDX-License-Identifier: MIT
 *
 * SHA-512 of eight messages in AVX-512 lanes. There is no widely built instruction for SHA-512 on x86, so this is the
 * fastest way on every core that has AVX-512.
 */
#include "kernels.h"

#if defined(__x86_64__)
#include "cpu.h"
#include "x86_transpose.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx2")))
#define BITS 512
#define LANES 8
#define V __m512i
#define ADD _mm512_add_epi64
#define XOR3(x, y, z) _mm512_ternarylogic_epi64(x, y, z, 0x96)
#define CH(e, f, g) _mm512_ternarylogic_epi64(e, f, g, 0xca)
#define MAJ(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xe8)
#define SHR _mm512_srli_epi64
#define ROR _mm512_ror_epi64
#define SET1(x) _mm512_set1_epi64((long long)(x))

TARGET static inline void load16(V w[16], const uint8_t *const *from, size_t offset)
{
    for (unsigned quarter = 0; quarter < 4; quarter++, w += 4, offset += 32) {
        __m256i low[4], high[4];
        for (unsigned lane = 0; lane < 4; lane++) {
            low[lane] = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)(from[lane] + offset)), PN_SWAP64);
            high[lane] = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)(from[lane + 4] + offset)), PN_SWAP64);
        }
        PN_TRANSPOSE_4X4_64(low);
        PN_TRANSPOSE_4X4_64(high);
        for (unsigned word = 0; word < 4; word++)
            w[word] = _mm512_inserti64x4(_mm512_castsi256_si512(low[word]), high[word], 1);
    }
}

TARGET static inline void store8(const V state[8], uint8_t *digests)
{
    for (unsigned half = 0; half < 2; half++, state += 4, digests += 32) {
        __m256i low[4], high[4];
        for (unsigned word = 0; word < 4; word++) {
            low[word] = _mm512_castsi512_si256(state[word]);
            high[word] = _mm512_extracti64x4_epi64(state[word], 1);
        }
        PN_TRANSPOSE_4X4_64(low);
        PN_TRANSPOSE_4X4_64(high);
        for (unsigned lane = 0; lane < 4; lane++) {
            _mm256_storeu_si256((__m256i *)(digests + 64 * lane), _mm256_shuffle_epi8(low[lane], PN_SWAP64));
            _mm256_storeu_si256((__m256i *)(digests + 64 * (lane + 4)), _mm256_shuffle_epi8(high[lane], PN_SWAP64));
        }
    }
}

#define LOAD16 load16
#define STORE8 store8
#include "sha2_lanes.h"

const struct pn_kernel pn_sha512_avx512_8 = {.name = "sha512-avx512-8",
                                             .algorithm = PN_SHA512,
                                             .lanes = 8,
                                             .features = PN_CPU_AVX512 | PN_CPU_AVX2,
                                             .worth = 4,
                                             .run = run_lanes};
#endif
