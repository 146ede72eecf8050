/* SPDX-License-Identifier: MIT
 *
 * CRC-64 of ISO 3309, which tar-split data holds for every file, without a table.
 *
 * The polynomial is x^64 + x^4 + x^3 + x + 1, and bit 63 of the state stands for x^0. Taking in eight bytes multiplies
 * the state, with the bytes added to it, by x^64, which is x^4 + x^3 + x + 1: four shifted copies. What is shifted out
 * below is a multiple of x^64 again, of a low power, and comes back at the top in the same way.
 *
 * Each such step waits for the one before. So there are eight states, each for every eighth word: they are multiplied
 * by x^512 = (x^64)^8, which is x^32 + x^24 + x^8 + 1 as squaring is linear here, and are independent of each other;
 * the compiler makes vectors of them.
 */
#ifndef PN_LAYER_CRC64_H
#define PN_LAYER_CRC64_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PN_CRC64_START UINT64_MAX /* and the result is inverted, too */

/* v times x^a + x^b + x^c + 1, where x^a to x^c are at most x^32. */
#define PN_CRC64_TIMES(v, out, a, b, c)                                 \
    ((out) = (v) << (64 - (a)) ^ (v) << (64 - (b)) ^ (v) << (64 - (c)), \
     (v) ^ (v) >> (a) ^ (v) >> (b) ^ (v) >> (c) ^ (out) ^ (out) >> 1 ^ (out) >> 3 ^ (out) >> 4)

static inline uint64_t pn_crc64_times_x64(uint64_t v)
{
    uint64_t out;
    return PN_CRC64_TIMES(v, out, 4, 3, 1);
}

static inline uint64_t pn_crc64_word(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline uint64_t pn_crc64(uint64_t state, const uint8_t *data, size_t size)
{
    if (size >= 128) {
        uint64_t lanes[8], out;
        for (unsigned j = 0; j < 8; j++)
            lanes[j] = pn_crc64_word(data + 8 * j);
        lanes[0] ^= state;
        for (data += 64, size -= 64; size >= 64; data += 64, size -= 64)
            for (unsigned j = 0; j < 8; j++)
                lanes[j] = PN_CRC64_TIMES(lanes[j], out, 32, 24, 8) ^ pn_crc64_word(data + 8 * j);
        state = 0;
        for (unsigned j = 0; j < 8; j++)
            state = pn_crc64_times_x64(state ^ lanes[j]);
    }
    for (; size >= 8; data += 8, size -= 8)
        state = pn_crc64_times_x64(state ^ pn_crc64_word(data));
    while (size--) {
        state ^= *data++;
        for (unsigned i = 0; i < 8; i++)
            state = state >> 1 ^ (state & 1 ? UINT64_C(0xd800000000000000) : 0);
    }
    return state;
}

#endif
