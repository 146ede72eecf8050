/* SPDX-License-Identifier: MIT
 *
 * SHA-256 or SHA-512 of LANES messages at once, one message per vector lane. Included once by a kernel file that has
 * defined BITS (256 or 512), V (the vector), LANES, TARGET and these operations:
 *
 *     ADD XOR3 CH MAJ ROR SHR  on vectors of 32-bit (64-bit) words;  SET1(word);  LOAD16(w, from, offset): the sixteen
 * words of every lane's block, as numbers;  STORE8(state, digests): the digests of all lanes.
 */
#if BITS == 256
#define WORDS w32
#define ROUNDS_ALL 64
#define BLOCK_BYTES 64
#define CONSTANTS pn_sha256_k
#define SCHEDULE0(x) XOR3(ROR(x, 7), ROR(x, 18), SHR(x, 3))
#define SCHEDULE1(x) XOR3(ROR(x, 17), ROR(x, 19), SHR(x, 10))
#define SUM_A(a) XOR3(ROR(a, 2), ROR(a, 13), ROR(a, 22))
#define SUM_E(e) XOR3(ROR(e, 6), ROR(e, 11), ROR(e, 25))
#else
#define WORDS w64
#define ROUNDS_ALL 80
#define BLOCK_BYTES 128
#define CONSTANTS pn_sha512_k
#define SCHEDULE0(x) XOR3(ROR(x, 1), ROR(x, 8), SHR(x, 7))
#define SCHEDULE1(x) XOR3(ROR(x, 19), ROR(x, 61), SHR(x, 6))
#define SUM_A(a) XOR3(ROR(a, 28), ROR(a, 34), ROR(a, 39))
#define SUM_E(e) XOR3(ROR(e, 14), ROR(e, 18), ROR(e, 41))
#endif
#define ROUND(a, b, c, d, e, f, g, h, wk)                   \
    do {                                                    \
        V t1 = ADD(ADD(h, wk), ADD(SUM_E(e), CH(e, f, g))); \
        d = ADD(d, t1);                                     \
        h = ADD(t1, ADD(SUM_A(a), MAJ(a, b, c)));           \
    } while (0)
/* Word t of the schedule, kept in w[t mod 16]; the first sixteen are the message itself. */
#define WORD(t, i)     \
    (w[i] = (t) < 16   \
                ? w[i] \
                : ADD(ADD(w[i], SCHEDULE0(w[((i) + 1) & 15])), ADD(w[((i) + 9) & 15], SCHEDULE1(w[((i) + 14) & 15]))))
#define STEP(t, i, a, b, c, d, e, f, g, h) ROUND(a, b, c, d, e, f, g, h, ADD(WORD(t, i), SET1(CONSTANTS[(t) + (i)])))
#define SIXTEEN_ROUNDS(t)                    \
    do {                                     \
        STEP(t, 0, a, b, c, d, e, f, g, h);  \
        STEP(t, 1, h, a, b, c, d, e, f, g);  \
        STEP(t, 2, g, h, a, b, c, d, e, f);  \
        STEP(t, 3, f, g, h, a, b, c, d, e);  \
        STEP(t, 4, e, f, g, h, a, b, c, d);  \
        STEP(t, 5, d, e, f, g, h, a, b, c);  \
        STEP(t, 6, c, d, e, f, g, h, a, b);  \
        STEP(t, 7, b, c, d, e, f, g, h, a);  \
        STEP(t, 8, a, b, c, d, e, f, g, h);  \
        STEP(t, 9, h, a, b, c, d, e, f, g);  \
        STEP(t, 10, g, h, a, b, c, d, e, f); \
        STEP(t, 11, f, g, h, a, b, c, d, e); \
        STEP(t, 12, e, f, g, h, a, b, c, d); \
        STEP(t, 13, d, e, f, g, h, a, b, c); \
        STEP(t, 14, c, d, e, f, g, h, a, b); \
        STEP(t, 15, b, c, d, e, f, g, h, a); \
    } while (0)

TARGET static void run_lanes(const struct pn_frame *frame, const uint8_t *const *messages, size_t groups,
                             uint8_t *digests)
{
    for (; groups; groups--, messages += LANES, digests += BITS / 8 * LANES) {
        V state[8], w[16];
        for (unsigned i = 0; i < 8; i++)
            state[i] = SET1(frame->start.WORDS[i]);
        for (uint32_t block = 0; block <= frame->body_blocks; block++) {
            V a = state[0], b = state[1], c = state[2], d = state[3];
            V e = state[4], f = state[5], g = state[6], h = state[7];
            if (block < frame->body_blocks) {
                LOAD16(w, messages, BLOCK_BYTES * (size_t)block);
                SIXTEEN_ROUNDS(0);
                SIXTEEN_ROUNDS(16);
                SIXTEEN_ROUNDS(32);
                SIXTEEN_ROUNDS(48);
#if BITS == 512
                SIXTEEN_ROUNDS(64);
#endif
            } else {
                for (unsigned t = 0; t < ROUNDS_ALL; t += 8) {
                    ROUND(a, b, c, d, e, f, g, h, SET1(frame->tail_schedule.WORDS[t]));
                    ROUND(h, a, b, c, d, e, f, g, SET1(frame->tail_schedule.WORDS[t + 1]));
                    ROUND(g, h, a, b, c, d, e, f, SET1(frame->tail_schedule.WORDS[t + 2]));
                    ROUND(f, g, h, a, b, c, d, e, SET1(frame->tail_schedule.WORDS[t + 3]));
                    ROUND(e, f, g, h, a, b, c, d, SET1(frame->tail_schedule.WORDS[t + 4]));
                    ROUND(d, e, f, g, h, a, b, c, SET1(frame->tail_schedule.WORDS[t + 5]));
                    ROUND(c, d, e, f, g, h, a, b, SET1(frame->tail_schedule.WORDS[t + 6]));
                    ROUND(b, c, d, e, f, g, h, a, SET1(frame->tail_schedule.WORDS[t + 7]));
                }
            }
            state[0] = ADD(state[0], a), state[1] = ADD(state[1], b), state[2] = ADD(state[2], c),
            state[3] = ADD(state[3], d);
            state[4] = ADD(state[4], e), state[5] = ADD(state[5], f), state[6] = ADD(state[6], g),
            state[7] = ADD(state[7], h);
        }
        STORE8(state, digests);
    }
}
