/* SPDX-License-Identifier: MIT
 *
 * SHA-256 of eight messages: the schedule in AVX-512VL lanes, the rounds by the SHA instructions.
 *
 * The obvious way lets the SHA instructions do both. But sha256msg1 and sha256msg2 cost six slots of the four FP pipes
 * for four words of one message, and what bounds a core with a full-rate sha256rnds2 is those slots (about 41 cycles a
 * block). A schedule in vector lanes costs a fraction of that per message, so we compute it for eight messages at once,
 * write W[t]+K[t] to a small buffer as pairs of words per message (one 8-byte load is then exactly the operand of
 * sha256rnds2), and run the rounds of the *previous* block from the other buffer in the same instruction stream: 32
 * cycles of rounds hide about 31 cycles of schedule. ymm, not zmm: on Zen 4 a zmm operation holds its pipe for two
 * cycles and starves the rounds. One vector word after every four sha256rnds2 keeps both supplied without relying on
 * the scheduler.
 *
 * The eight messages run as two halves of four, since the SHA instructions reach only the low sixteen registers; the
 * sixteen schedule vectors live in the high ones.
 */
#include "kernels.h"

#if defined(__x86_64__)
#include "cpu.h"
#include "x86_transpose.h"

#define TARGET __attribute__((target("sha,sse4.1,ssse3,avx2,avx512f,avx512bw,avx512vl")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#include "x86_sha_state.h"

enum { LANES = 8, PAIRS = 32 };

/* 32 pairs of schedule words for eight messages. Within a pair the messages stand as the unpack instructions leave
 * them. */
typedef struct {
    _Alignas(64) uint64_t pair[PAIRS][LANES];
} schedule;

/* Slot -> message; slots 0-3 are the first half. */
static const uint8_t message_of_slot[LANES] = {0, 1, 4, 5, 2, 3, 6, 7};

typedef struct {
    __m128i abef[LANES], cdgh[LANES];
} states;

#define XOR3(x, y, z) _mm256_ternarylogic_epi32(x, y, z, 0x96)
#define ROR _mm256_ror_epi32
#define SCHEDULE0(x) XOR3(ROR(x, 7), ROR(x, 18), _mm256_srli_epi32(x, 3))
#define SCHEDULE1(x) XOR3(ROR(x, 17), ROR(x, 19), _mm256_srli_epi32(x, 10))

/* Vector work, in the portions that follow four rounds instructions. */
#define NEXT(i)                                                                   \
    w[i] = _mm256_add_epi32(_mm256_add_epi32(w[i], SCHEDULE0(w[((i) + 1) & 15])), \
                            _mm256_add_epi32(w[((i) + 9) & 15], SCHEDULE1(w[((i) + 14) & 15])))
#define WITH_K(i, t) _mm256_add_epi32(w[(i) & 15], _mm256_set1_epi32((int)pn_sha256_k[(t)]))
#define EMIT(t)                                                                                   \
    do {                                                                                          \
        const __m256i even = WITH_K(t, t), odd = WITH_K((t) + 1, (t) + 1);                        \
        _mm256_store_si256((__m256i *)&next->pair[(t) / 2][0], _mm256_unpacklo_epi32(even, odd)); \
        _mm256_store_si256((__m256i *)&next->pair[(t) / 2][4], _mm256_unpackhi_epi32(even, odd)); \
    } while (0)
#define FETCH(lane)                                                                                           \
    do {                                                                                                      \
        w[lane] = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)(from[lane] + offset)), PN_SWAP32); \
        w[(lane) + 8] =                                                                                       \
            _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)(from[lane] + offset + 32)), PN_SWAP32);  \
    } while (0)

/* Four streams, two rounds each: slot s of the half, pair p of the schedule. */
#define ROUNDS(p)                                                                           \
    do {                                                                                    \
        const uint64_t *wk = &now->pair[p][half];                                           \
        if ((p) % 2 == 0) {                                                                 \
            c0 = _mm_sha256rnds2_epu32(c0, a0, _mm_loadl_epi64((const __m128i *)wk));       \
            c1 = _mm_sha256rnds2_epu32(c1, a1, _mm_loadl_epi64((const __m128i *)(wk + 1))); \
            c2 = _mm_sha256rnds2_epu32(c2, a2, _mm_loadl_epi64((const __m128i *)(wk + 2))); \
            c3 = _mm_sha256rnds2_epu32(c3, a3, _mm_loadl_epi64((const __m128i *)(wk + 3))); \
        } else {                                                                            \
            a0 = _mm_sha256rnds2_epu32(a0, c0, _mm_loadl_epi64((const __m128i *)wk));       \
            a1 = _mm_sha256rnds2_epu32(a1, c1, _mm_loadl_epi64((const __m128i *)(wk + 1))); \
            a2 = _mm_sha256rnds2_epu32(a2, c2, _mm_loadl_epi64((const __m128i *)(wk + 2))); \
            a3 = _mm_sha256rnds2_epu32(a3, c3, _mm_loadl_epi64((const __m128i *)(wk + 3))); \
        }                                                                                   \
    } while (0)
#define ENTER_HALF(from_slot)                                                                           \
    const unsigned half = (from_slot);                                                                  \
    __m128i a0 = s->abef[half], a1 = s->abef[half + 1], a2 = s->abef[half + 2], a3 = s->abef[half + 3]; \
    __m128i c0 = s->cdgh[half], c1 = s->cdgh[half + 1], c2 = s->cdgh[half + 2], c3 = s->cdgh[half + 3]
#define LEAVE_HALF                                                                                                  \
    do {                                                                                                            \
        s->abef[half] = _mm_add_epi32(s->abef[half], a0), s->abef[half + 1] = _mm_add_epi32(s->abef[half + 1], a1); \
        s->abef[half + 2] = _mm_add_epi32(s->abef[half + 2], a2),                                                   \
                       s->abef[half + 3] = _mm_add_epi32(s->abef[half + 3], a3);                                    \
        s->cdgh[half] = _mm_add_epi32(s->cdgh[half], c0), s->cdgh[half + 1] = _mm_add_epi32(s->cdgh[half + 1], c1); \
        s->cdgh[half + 2] = _mm_add_epi32(s->cdgh[half + 2], c2),                                                   \
                       s->cdgh[half + 3] = _mm_add_epi32(s->cdgh[half + 3], c3);                                    \
    } while (0)

#define TWO(p, i)             \
    do {                      \
        ROUNDS(p);            \
        NEXT((i) & 15);       \
        ROUNDS((p) + 1);      \
        NEXT(((i) + 1) & 15); \
        EMIT(i);              \
    } while (0)
#define EIGHT(p, i)            \
    do {                       \
        TWO(p, i);             \
        TWO((p) + 2, (i) + 2); \
        TWO((p) + 4, (i) + 4); \
        TWO((p) + 6, (i) + 6); \
    } while (0)

/* Rounds of the block whose schedule is `now`, schedule of the block at `from` + offset into `next`. */
TARGET static void rounds_and_schedule(states *s, const schedule *now, schedule *next, const uint8_t *const *from,
                                       size_t offset)
{
    __m256i w[16];
    {
        ENTER_HALF(0);
        ROUNDS(0);
        FETCH(0);
        FETCH(1);
        ROUNDS(1);
        FETCH(2);
        FETCH(3);
        ROUNDS(2);
        FETCH(4);
        FETCH(5);
        ROUNDS(3);
        FETCH(6);
        FETCH(7);
        ROUNDS(4);
        ROUNDS(5);
        PN_TRANSPOSE_8X8(w);
        ROUNDS(6);
        EMIT(0);
        ROUNDS(7);
        EMIT(2);
        ROUNDS(8);
        EMIT(4);
        ROUNDS(9);
        EMIT(6);
        ROUNDS(10);
        ROUNDS(11);
        PN_TRANSPOSE_8X8(w + 8);
        ROUNDS(12);
        EMIT(8);
        ROUNDS(13);
        EMIT(10);
        ROUNDS(14);
        EMIT(12);
        ROUNDS(15);
        EMIT(14);
        EIGHT(16, 16);
        EIGHT(24, 24);
        LEAVE_HALF;
    }
    {
        ENTER_HALF(4);
        EIGHT(0, 32);
        EIGHT(8, 40);
        EIGHT(16, 48);
        EIGHT(24, 56);
        LEAVE_HALF;
    }
}

/* The schedule alone: before the first block of all. */
TARGET static void schedule_only(schedule *next, const uint8_t *const *from)
{
    const size_t offset = 0;
    __m256i w[16];
    for (unsigned lane = 0; lane < LANES; lane++)
        FETCH(lane);
    PN_TRANSPOSE_8X8(w);
    PN_TRANSPOSE_8X8(w + 8);
    for (unsigned t = 0; t < 16; t += 2)
        EMIT(t);
    for (unsigned t = 16; t < 64; t += 2) {
        NEXT(t & 15);
        NEXT((t + 1) & 15);
        EMIT(t);
    }
}

/* The rounds alone: the padding block, whose schedule is one constant for all messages. */
TARGET static void rounds_only(states *s, const uint32_t tail[64])
{
    for (unsigned half = 0; half < LANES; half += 4) {
        __m128i a[4], c[4];
        for (unsigned j = 0; j < 4; j++)
            a[j] = s->abef[half + j], c[j] = s->cdgh[half + j];
        for (unsigned t = 0; t < 64; t += 4) {
            const __m128i low = _mm_loadu_si128((const __m128i *)(tail + t)), high = _mm_shuffle_epi32(low, 0x0e);
            for (unsigned j = 0; j < 4; j++)
                c[j] = _mm_sha256rnds2_epu32(c[j], a[j], low);
            for (unsigned j = 0; j < 4; j++)
                a[j] = _mm_sha256rnds2_epu32(a[j], c[j], high);
        }
        for (unsigned j = 0; j < 4; j++) {
            s->abef[half + j] = _mm_add_epi32(s->abef[half + j], a[j]);
            s->cdgh[half + j] = _mm_add_epi32(s->cdgh[half + j], c[j]);
        }
    }
}

TARGET static void run(const struct pn_frame *frame, const uint8_t *const *messages, size_t groups, uint8_t *digests)
{
    __m128i abef, cdgh;
    schedule buffers[2];
    unsigned now = 0;
    states s;

    load_state(frame->start.w32, &abef, &cdgh);
    schedule_only(&buffers[0], messages);
    for (; groups; groups--, messages += LANES, digests += 32 * LANES) {
        for (unsigned slot = 0; slot < LANES; slot++)
            s.abef[slot] = abef, s.cdgh[slot] = cdgh;
        for (uint32_t block = 1; block < frame->body_blocks; block++, now ^= 1)
            rounds_and_schedule(&s, &buffers[now], &buffers[now ^ 1], messages, 64 * (size_t)block);
        /* Beside the last block runs the first schedule of the next group (of this one again at the very end, unused).
         */
        rounds_and_schedule(&s, &buffers[now], &buffers[now ^ 1], groups > 1 ? messages + LANES : messages, 0);
        now ^= 1;
        rounds_only(&s, frame->tail_schedule.w32);
        for (unsigned slot = 0; slot < LANES; slot++)
            store_digest(digests + 32 * message_of_slot[slot], s.abef[slot], s.cdgh[slot]);
    }
}

const struct pn_kernel pn_sha256_mixed_8 = {.name = "sha256-mixed-8",
                                            .algorithm = PN_SHA256,
                                            .lanes = LANES,
                                            .features = PN_CPU_SHANI | PN_CPU_AVX2 | PN_CPU_AVX512,
                                            .worth = 6,
                                            .run = run};
#endif
