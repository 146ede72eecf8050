/* SPDX-License-Identifier: MIT
 *
 * SHA-256 in portable C, after FIPS 180-4. It prepares frames for every kernel and is the kernel of CPUs we know
 * nothing about.
 */
#include "kernel.h"
#include "kernels.h"

const uint32_t pn_sha256_initial[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

_Alignas(64) const uint32_t pn_sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t ror(uint32_t x, unsigned n)
{
    return (x >> n) | (x << (32 - n));
}

static inline uint32_t load_be(const uint8_t *p)
{
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

/* `wk` is the message schedule with the round constants already added. */
static void rounds(uint32_t state[8], const uint32_t wk[64])
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (unsigned t = 0; t < 64; t++) {
        uint32_t t1 = h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + (g ^ (e & (f ^ g))) + wk[t];
        uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) | (c & (a | b)));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void pn_sha256_schedule(uint32_t wk[64], const uint8_t *block)
{
    uint32_t w[64];
    for (unsigned t = 0; t < 16; t++)
        w[t] = load_be(block + 4 * t);
    for (unsigned t = 16; t < 64; t++) {
        uint32_t s0 = ror(w[t - 15], 7) ^ ror(w[t - 15], 18) ^ (w[t - 15] >> 3);
        uint32_t s1 = ror(w[t - 2], 17) ^ ror(w[t - 2], 19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    for (unsigned t = 0; t < 64; t++)
        wk[t] = w[t] + pn_sha256_k[t];
}

void pn_sha256_compress(uint32_t state[8], const uint8_t *block)
{
    uint32_t wk[64];
    pn_sha256_schedule(wk, block);
    rounds(state, wk);
}

/* The kernel: the template of the vector kernels with one lane of scalar words, which unrolls better than `rounds`. */
#if defined(__GNUC__) && !defined(__clang__)
#define TARGET \
    __attribute__((optimize("no-tree-slp-vectorize"))) /* pairs of rotates in a vector are slower than apart */
#else
#define TARGET
#endif
#define BITS 256
#define LANES 1
#define V uint32_t
#define ADD(x, y) ((x) + (y))
#define XOR3(x, y, z) ((x) ^ (y) ^ (z))
#define CH(e, f, g) ((g) ^ ((e) & ((f) ^ (g))))
#define MAJ(a, b, c) (((a) & (b)) | ((c) & ((a) | (b))))
#define SHR(x, n) ((x) >> (n))
#define ROR ror
#define SET1(x) (x)

static inline void load16(V w[16], const uint8_t *const *from, size_t offset)
{
    for (unsigned t = 0; t < 16; t++)
        w[t] = load_be(from[0] + offset + 4 * t);
}

static inline void store8(const V state[8], uint8_t *digest)
{
    for (unsigned w = 0; w < 8; w++)
        for (unsigned shift = 32; shift; digest++)
            *digest = (uint8_t)(state[w] >> (shift -= 8));
}

#define LOAD16 load16
#define STORE8 store8
#include "sha2_lanes.h"

const struct pn_kernel pn_sha256_portable = {
    .name = "sha256-portable", .algorithm = PN_SHA256, .lanes = 1, .worth = 1, .run = run_lanes};
