/* SPDX-License-Identifier: MIT
 *
 * SHA-256 of four messages in NEON lanes: the kernel of cores without SHA-2 instructions, above all the Raspberry Pi 4.
 *
 * Its Cortex-A72 starts two NEON operations per cycle, of 3 cycles each, but only one of the two pipes shifts, and
 * `sri` or `sli` on full registers may hold it twice. A rotation is two shifts whatever we do: `shl` + `ushr` + `orr`
 * needs three operations, `shl` + `usra` two, since adding what cannot overlap is as good as or-ing it; that is 12%
 * fewer cycles. A block of four messages then is about 2700 operations, 1350 cycles for two pipes, of which 1250 are
 * shifts; about 1680 after latencies. The constants cost nothing: the compiler splats them once per group into a table
 * on the stack.
 *
 * A scalar block takes about 710 cycles, a lane of these 420. The scalar pipes idle meanwhile, and a fifth message
 * beside the lanes would hide in them nearly free (340 cycles a block); two more would not. That is a kernel of its
 * own, to be written when it can be timed on the real machine. How all this was found: docs/adr/0003-arm64-kernels.md.
 */
#include "kernels.h"

#if defined(__aarch64__)
#if defined(__AARCH64EB__)
#error "the arm64 kernels are for little-endian systems: lane order and byte swaps assume it"
#endif
#include "cpu.h"

#include <arm_neon.h>

/* gcc's reassociation would put more additions behind the slowest term of a round (5% on the Cortex-A72), and the last
 * scheduling pass, which the x86 kernels are better without, suits its short queues (7%). */
#if defined(__clang__)
#define TARGET
#else
#define TARGET __attribute__((optimize("no-tree-reassoc", "schedule-insns2")))
#endif
#define BITS 256
#define LANES 4
#define V uint32x4_t
#define ADD vaddq_u32
#define XOR3(x, y, z) veorq_u32(veorq_u32(x, y), z)
#define CH(e, f, g) vbslq_u32(e, f, g)
#define MAJ(a, b, c) vbslq_u32(veorq_u32(a, b), c, b)
#define ROR(x, n) vsraq_n_u32(vshlq_n_u32(x, 32 - (n)), x, n)
#define SHR vshrq_n_u32
#define SET1 vdupq_n_u32

/* Four rows of four words in place: row r, word c <-> row c, word r. */
TARGET static inline void transpose(V r[4])
{
    uint64x2_t t0 = vreinterpretq_u64_u32(vtrn1q_u32(r[0], r[1])), t1 = vreinterpretq_u64_u32(vtrn2q_u32(r[0], r[1]));
    uint64x2_t t2 = vreinterpretq_u64_u32(vtrn1q_u32(r[2], r[3])), t3 = vreinterpretq_u64_u32(vtrn2q_u32(r[2], r[3]));
    r[0] = vreinterpretq_u32_u64(vtrn1q_u64(t0, t2)), r[2] = vreinterpretq_u32_u64(vtrn2q_u64(t0, t2));
    r[1] = vreinterpretq_u32_u64(vtrn1q_u64(t1, t3)), r[3] = vreinterpretq_u32_u64(vtrn2q_u64(t1, t3));
}

TARGET static inline void load16(V w[16], const uint8_t *const *from, size_t offset)
{
    for (unsigned quarter = 0; quarter < 4; quarter++, w += 4, offset += 16) {
        for (unsigned lane = 0; lane < 4; lane++)
            w[lane] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(from[lane] + offset)));
        transpose(w);
    }
}

TARGET static inline void store8(V state[8], uint8_t *digests)
{
    for (unsigned half = 0; half < 2; half++, state += 4, digests += 16) {
        transpose(state);
        for (unsigned lane = 0; lane < 4; lane++)
            vst1q_u8(digests + 32 * lane, vrev32q_u8(vreinterpretq_u8_u32(state[lane])));
    }
}

#define LOAD16 load16
#define STORE8 store8
#include "sha2_lanes.h"

const struct pn_kernel pn_sha256_neon_4 = {
    .name = "sha256-neon-4", .algorithm = PN_SHA256, .lanes = 4, .features = PN_CPU_NEON, .worth = 2, .run = run_lanes};
#endif
