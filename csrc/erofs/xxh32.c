/* SPDX-License-Identifier: MIT */
#include "xxh32.h"

#include "format.h"

#define P1 0x9E3779B1u
#define P2 0x85EBCA77u
#define P3 0xC2B2AE3Du
#define P4 0x27D4EB2Fu
#define P5 0x165667B1u

static uint32_t rotate(uint32_t value, unsigned bits)
{
    return value << bits | value >> (32 - bits);
}

uint32_t pn_xxh32(const uint8_t *bytes, size_t size, uint32_t seed)
{
    size_t left = size;
    uint32_t hash = seed + P5;

    if (size >= 16) {
        uint32_t lanes[4] = {seed + P1 + P2, seed + P2, seed, seed - P1};
        for (; left >= 16; left -= 16)
            for (int i = 0; i < 4; i++, bytes += 4)
                lanes[i] = rotate(lanes[i] + pn_get_u32(bytes) * P2, 13) * P1;
        hash = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
    }
    hash += (uint32_t)size;
    for (; left >= 4; left -= 4, bytes += 4)
        hash = rotate(hash + pn_get_u32(bytes) * P3, 17) * P4;
    for (; left; left--, bytes++)
        hash = rotate(hash + *bytes * P5, 11) * P1;
    hash = (hash ^ hash >> 15) * P2;
    hash = (hash ^ hash >> 13) * P3;
    return hash ^ hash >> 16;
}
