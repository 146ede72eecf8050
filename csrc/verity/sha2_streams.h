/* SPDX-License-Identifier: MIT
 *
 * What the kernels have in common that keep a hash unit busy with a few interleaved messages. Included once by a kernel
 * file that has defined TARGET, the attributes of its functions. The file then writes
 *
 *     INLINE void run_streams(unsigned streams, frame, messages, digests): `streams` messages side by side
 *
 * with EACH before what is done for each stream `j`, and makes kernels of it with STREAM_KERNEL.
 */
#define INLINE static inline __attribute__((always_inline)) TARGET

/* Unrolled at every optimisation level, or gcc -O2 keeps the loop and with it the states in memory; clang unrolls
 * anyway. */
#if defined(__clang__)
#define EACH for (unsigned j = 0; j < streams; j++)
#else
#define EACH _Pragma("GCC unroll 4") for (unsigned j = 0; j < streams; j++)
#endif

/* A block of SHA-256 whose sixteen words are in a, b, c and d, for instructions that make four rounds: in
 * FOUR_ROUNDS_EXTEND the first of the four holds the words of these rounds and becomes those of sixteen rounds later.
 */
#define SHA256_BLOCK(a, b, c, d)            \
    do {                                    \
        FOUR_ROUNDS_EXTEND(0, a, b, c, d);  \
        FOUR_ROUNDS_EXTEND(4, b, c, d, a);  \
        FOUR_ROUNDS_EXTEND(8, c, d, a, b);  \
        FOUR_ROUNDS_EXTEND(12, d, a, b, c); \
        FOUR_ROUNDS_EXTEND(16, a, b, c, d); \
        FOUR_ROUNDS_EXTEND(20, b, c, d, a); \
        FOUR_ROUNDS_EXTEND(24, c, d, a, b); \
        FOUR_ROUNDS_EXTEND(28, d, a, b, c); \
        FOUR_ROUNDS_EXTEND(32, a, b, c, d); \
        FOUR_ROUNDS_EXTEND(36, b, c, d, a); \
        FOUR_ROUNDS_EXTEND(40, c, d, a, b); \
        FOUR_ROUNDS_EXTEND(44, d, a, b, c); \
        FOUR_ROUNDS(48, a);                 \
        FOUR_ROUNDS(52, b);                 \
        FOUR_ROUNDS(56, c);                 \
        FOUR_ROUNDS(60, d);                 \
    } while (0)

#define STREAM_KERNEL(bits, unit, count, least, needs)                                                          \
    TARGET static void run_##count(const struct pn_frame *frame, const uint8_t *const *messages, size_t groups, \
                                   uint8_t *digests)                                                            \
    {                                                                                                           \
        for (; groups; groups--, messages += (count), digests += (bits) / 8 * (count))                          \
            run_streams(count, frame, messages, digests);                                                       \
    }                                                                                                           \
    const struct pn_kernel pn_sha##bits##_##unit##_##count = {.name = "sha" #bits "-" #unit "-" #count,         \
                                                              .algorithm = PN_SHA##bits,                        \
                                                              .lanes = (count),                                 \
                                                              .features = (needs),                              \
                                                              .worth = (least),                                 \
                                                              .run = run_##count}
