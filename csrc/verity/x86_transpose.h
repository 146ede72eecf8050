/* SPDX-License-Identifier: MIT
 *
 * Transpositions the vector kernels share: the words of a block lie along one message in memory and across the lanes in
 * registers.
 */
#ifndef PN_VERITY_X86_TRANSPOSE_H
#define PN_VERITY_X86_TRANSPOSE_H

#include <immintrin.h>

/* Eight rows of eight 32-bit words in place: row r, word c <-> row c, word r. Three levels of swaps: 32, 64, 128 bits.
 */
#define PN_TRANSPOSE_8X8(r)                                                                                 \
    do {                                                                                                    \
        __m256i t0 = _mm256_unpacklo_epi32((r)[0], (r)[1]), t1 = _mm256_unpackhi_epi32((r)[0], (r)[1]);     \
        __m256i t2 = _mm256_unpacklo_epi32((r)[2], (r)[3]), t3 = _mm256_unpackhi_epi32((r)[2], (r)[3]);     \
        __m256i t4 = _mm256_unpacklo_epi32((r)[4], (r)[5]), t5 = _mm256_unpackhi_epi32((r)[4], (r)[5]);     \
        __m256i t6 = _mm256_unpacklo_epi32((r)[6], (r)[7]), t7 = _mm256_unpackhi_epi32((r)[6], (r)[7]);     \
        __m256i u0 = _mm256_unpacklo_epi64(t0, t2), u1 = _mm256_unpackhi_epi64(t0, t2);                     \
        __m256i u2 = _mm256_unpacklo_epi64(t1, t3), u3 = _mm256_unpackhi_epi64(t1, t3);                     \
        __m256i u4 = _mm256_unpacklo_epi64(t4, t6), u5 = _mm256_unpackhi_epi64(t4, t6);                     \
        __m256i u6 = _mm256_unpacklo_epi64(t5, t7), u7 = _mm256_unpackhi_epi64(t5, t7);                     \
        (r)[0] = _mm256_permute2x128_si256(u0, u4, 0x20), (r)[4] = _mm256_permute2x128_si256(u0, u4, 0x31); \
        (r)[1] = _mm256_permute2x128_si256(u1, u5, 0x20), (r)[5] = _mm256_permute2x128_si256(u1, u5, 0x31); \
        (r)[2] = _mm256_permute2x128_si256(u2, u6, 0x20), (r)[6] = _mm256_permute2x128_si256(u2, u6, 0x31); \
        (r)[3] = _mm256_permute2x128_si256(u3, u7, 0x20), (r)[7] = _mm256_permute2x128_si256(u3, u7, 0x31); \
    } while (0)

/* Four rows of four 64-bit words in place. */
#define PN_TRANSPOSE_4X4_64(r)                                                                              \
    do {                                                                                                    \
        __m256i t0 = _mm256_unpacklo_epi64((r)[0], (r)[1]), t1 = _mm256_unpackhi_epi64((r)[0], (r)[1]);     \
        __m256i t2 = _mm256_unpacklo_epi64((r)[2], (r)[3]), t3 = _mm256_unpackhi_epi64((r)[2], (r)[3]);     \
        (r)[0] = _mm256_permute2x128_si256(t0, t2, 0x20), (r)[2] = _mm256_permute2x128_si256(t0, t2, 0x31); \
        (r)[1] = _mm256_permute2x128_si256(t1, t3, 0x20), (r)[3] = _mm256_permute2x128_si256(t1, t3, 0x31); \
    } while (0)

/* Byte order within each 32-bit or 64-bit word. */
#define PN_SWAP32 _mm256_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203, 0x0c0d0e0f08090a0b, 0x0405060700010203)
#define PN_SWAP64 _mm256_set_epi64x(0x08090a0b0c0d0e0f, 0x0001020304050607, 0x08090a0b0c0d0e0f, 0x0001020304050607)

#endif
