/* SPDX-License-Identifier: MIT
 *
 * SHA-256 or SHA-512 in portable C, after FIPS 180-4: it prepares frames for every kernel and is the kernel of CPUs we
 * know nothing about. Included once each by sha256_portable.c and sha512_portable.c, which define BITS (256 or 512) and
 * the tables.
 */
#if BITS == 256
#define V uint32_t
#define SHA2(name) pn_sha256_##name
#else
#define V uint64_t
#define SHA2(name) pn_sha512_##name
#endif

static inline V ror(V x, unsigned n)
{
    return (x >> n) | (x << (8 * sizeof(V) - n));
}

/* Written in the one way for each size that gcc 12 makes a load and a byte swap of. */
static inline V load_be(const uint8_t *p)
{
#if BITS == 256
    return (V)p[0] << 24 | (V)p[1] << 16 | (V)p[2] << 8 | p[3];
#else
    V value = 0;
    for (unsigned i = 0; i < sizeof(V); i++)
        value = value << 8 | p[i];
    return value;
#endif
}

/* The kernel: the template of the vector kernels with one lane of scalar words, which unrolls better than `rounds`. */
#if defined(__GNUC__) && !defined(__clang__)
#define TARGET \
    __attribute__((optimize("no-tree-slp-vectorize"))) /* pairs of rotates in a vector are slower than apart */
#else
#define TARGET
#endif
#define LANES 1
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
        w[t] = load_be(from[0] + offset + sizeof(V) * t);
}

static inline void store8(const V state[8], uint8_t *digest)
{
    for (unsigned w = 0; w < 8; w++)
        for (unsigned shift = 8 * sizeof(V); shift; digest++)
            *digest = (uint8_t)(state[w] >> (shift -= 8));
}

#define LOAD16 load16
#define STORE8 store8
#include "sha2_lanes.h"

/* `wk` is the message schedule with the round constants already added. */
static void rounds(V state[8], const V wk[ROUNDS_ALL])
{
    V a = state[0], b = state[1], c = state[2], d = state[3];
    V e = state[4], f = state[5], g = state[6], h = state[7];
    for (unsigned t = 0; t < ROUNDS_ALL; t++) {
        V t1 = h + SUM_E(e) + CH(e, f, g) + wk[t];
        V t2 = SUM_A(a) + MAJ(a, b, c);
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void SHA2(schedule)(V wk[ROUNDS_ALL], const uint8_t *block)
{
    V w[ROUNDS_ALL];
    for (unsigned t = 0; t < 16; t++)
        w[t] = load_be(block + sizeof(V) * t);
    for (unsigned t = 16; t < ROUNDS_ALL; t++)
        w[t] = w[t - 16] + SCHEDULE0(w[t - 15]) + w[t - 7] + SCHEDULE1(w[t - 2]);
    for (unsigned t = 0; t < ROUNDS_ALL; t++)
        wk[t] = w[t] + CONSTANTS[t];
}

void SHA2(compress)(V state[8], const uint8_t *block)
{
    V wk[ROUNDS_ALL];
    SHA2(schedule)(wk, block);
    rounds(state, wk);
}
