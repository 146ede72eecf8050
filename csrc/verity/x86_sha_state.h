/* SPDX-License-Identifier: MIT
 *
 * The state of SHA-256 as the x86 SHA instructions keep it: A, B, E, F in one register and C, D, G, H in the other, the
 * first letter in the highest word. Included by a kernel file that has defined INLINE.
 */
#ifndef PN_VERITY_X86_SHA_STATE_H
#define PN_VERITY_X86_SHA_STATE_H

#include <immintrin.h>

INLINE void load_state(const uint32_t state[8], __m128i *abef, __m128i *cdgh)
{
    __m128i dcba = _mm_loadu_si128((const __m128i *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
    __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    *abef = _mm_alignr_epi8(cdab, efgh, 8);
    *cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
}

/* All words turned round, and the bytes in each: together that is all sixteen bytes of a register turned round. */
INLINE void store_digest(uint8_t *digest, __m128i abef, __m128i cdgh)
{
    const __m128i reverse = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    __m128i abcd = _mm_unpackhi_epi64(cdgh, abef), efgh = _mm_unpacklo_epi64(cdgh, abef);
    _mm_storeu_si128((__m128i *)digest, _mm_shuffle_epi8(abcd, reverse));
    _mm_storeu_si128((__m128i *)(digest + 16), _mm_shuffle_epi8(efgh, reverse));
}

#endif
