/* SPDX-License-Identifier: MIT
 *
 * The two checksums of csrc/layer: several streams at once against each alone, long pieces against single bytes. Prints
 * the digest of a message, for somebody else to compare, and whether the CPU's own instructions were used.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/layer/crc64.h"
#include "../../csrc/layer/sha256.h"

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "hash_check.c:%d: not true: %s\n", __LINE__, #condition); \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

static void hash(struct pn_sha256 *state, const uint8_t *data, size_t size, uint8_t digest[32])
{
    pn_sha256_update(state, data, size);
    pn_sha256_finish(state, digest);
}

/* Three streams at once, against each alone; `ahead` bytes put one of them into the middle of a block. */
static void check_three(const uint8_t *data, unsigned size, unsigned ahead_second, unsigned ahead_third)
{
    struct pn_sha256 states[3], alone;
    uint8_t digest[32], expected[32];
    const unsigned ahead[3] = {0, ahead_second, ahead_third};
    for (unsigned i = 0; i < 3; i++) {
        pn_sha256_start(&states[i]);
        pn_sha256_update(&states[i], data, ahead[i]);
    }
    size_t half = size / 2, other = size / 3, taken;
    taken = pn_sha256_update_three(&states[0], &states[1], data, half, &states[2], data, other);
    taken += pn_sha256_update_three(&states[0], &states[1], data + half, size - half, &states[2], data + taken,
                                    other - taken);
    CHECK(taken <= other);
    pn_sha256_update(&states[2], data + taken, other - taken);
    for (unsigned i = 0; i < 3; i++) {
        pn_sha256_start(&alone);
        pn_sha256_update(&alone, data, ahead[i]);
        hash(&alone, data, i == 2 ? other : size, expected);
        hash(&states[i], data, 0, digest);
        CHECK(memcmp(digest, expected, sizeof(digest)) == 0);
    }
}

int main(void)
{
    enum { SIZE = 5000 };
    uint8_t data[SIZE], digest[32];
    struct pn_sha256 whole;
    for (unsigned i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    for (unsigned size = 0; size < SIZE; size += 1 + size / 3) {
        check_three(data, size, 0, 0);
        check_three(data, size, 0, 61);
        check_three(data, size, 0, 128);
        check_three(data, size, 61, 5);
        uint64_t slow = PN_CRC64_START;
        for (unsigned i = 0; i < size; i++)
            slow = pn_crc64(slow, data + i, 1);
        CHECK(slow == pn_crc64(PN_CRC64_START, data, size));
        CHECK(slow == pn_crc64(pn_crc64(PN_CRC64_START, data, size / 3), data + size / 3, size - size / 3));
    }
    pn_sha256_start(&whole);
    hash(&whole, data, SIZE, digest);
    for (unsigned i = 0; i < sizeof(digest); i++)
        printf("%02x", digest[i]);
    printf(" %s\n", whole.run == pn_sha256_blocks_unit ? "unit" : "portable");
    return 0;
}
