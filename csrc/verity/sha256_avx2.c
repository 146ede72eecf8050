/* SPDX-License-Identifier: MIT
 *
 * SHA-256 of eight messages in AVX2 lanes: for x86 cores without SHA instructions.
 */
#include "kernels.h"

#if defined(__x86_64__)
#include "cpu.h"
#include "x86_transpose.h"

#define TARGET __attribute__((target("avx2")))
#define BITS 256
#define LANES 8
#define V __m256i
#define ADD _mm256_add_epi32
#define XOR _mm256_xor_si256
#define XOR3(x, y, z) XOR(XOR(x, y), z)
#define CH(e, f, g) XOR(g, _mm256_and_si256(e, XOR(f, g)))
#define MAJ(a, b, c) _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)))
#define SHR _mm256_srli_epi32
#define ROR(x, n) _mm256_or_si256(SHR(x, n), _mm256_slli_epi32(x, 32 - (n)))
#define SET1(x) _mm256_set1_epi32((int)(x))

TARGET static inline void load16(V w[16], const uint8_t *const *from, size_t offset)
{
    for (unsigned half = 0; half < 2; half++, w += 8, offset += 32) {
        for (unsigned lane = 0; lane < 8; lane++)
            w[lane] = _mm256_shuffle_epi8(_mm256_loadu_si256((const V *)(from[lane] + offset)), PN_SWAP32);
        PN_TRANSPOSE_8X8(w);
    }
}

TARGET static inline void store8(V state[8], uint8_t *digests)
{
    PN_TRANSPOSE_8X8(state);
    for (unsigned lane = 0; lane < 8; lane++)
        _mm256_storeu_si256((V *)(digests + 32 * lane), _mm256_shuffle_epi8(state[lane], PN_SWAP32));
}

#define LOAD16 load16
#define STORE8 store8
#include "sha2_lanes.h"

const struct pn_kernel pn_sha256_avx2_8 = {
    .name = "sha256-avx2-8", .algorithm = PN_SHA256, .lanes = 8, .features = PN_CPU_AVX2, .worth = 3, .run = run_lanes};
#endif
