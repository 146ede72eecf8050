/* SPDX-License-Identifier: MIT
 *
 * Hexadecimal digits. Reading them is without branches: half of them are letters, so every branch on one would be
 * mispredicted.
 */
#ifndef PN_COMPOSEFS_HEX_H
#define PN_COMPOSEFS_HEX_H

#include <stdint.h>

#define PN_HEX_UPPER 0x40u
#define PN_HEX_INVALID 0x80u

/* The value of a digit, with PN_HEX_UPPER for A to F; PN_HEX_INVALID and more for anything else. */
extern const uint8_t pn_hex_values[256];

/* `bytes` bytes from twice as many digits. The answer has PN_HEX_INVALID if one was no digit (then `out` is garbage)
 * and PN_HEX_UPPER if one was A to F. */
static inline unsigned pn_hex_decode(const uint8_t *digits, uint32_t bytes, uint8_t *out)
{
    unsigned seen = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        unsigned high = pn_hex_values[digits[2 * i]], low = pn_hex_values[digits[2 * i + 1]];
        seen |= high | low;
        out[i] = (uint8_t)(high << 4 | (low & 15));
    }
    return seen & (PN_HEX_UPPER | PN_HEX_INVALID);
}

/* Twice as many lowercase digits as bytes; returns the end. */
static inline uint8_t *pn_hex_encode(uint8_t *out, const uint8_t *bytes, uint32_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < size; i++) {
        *out++ = (uint8_t)digits[bytes[i] >> 4];
        *out++ = (uint8_t)digits[bytes[i] & 15];
    }
    return out;
}

#endif
