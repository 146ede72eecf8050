/* SPDX-License-Identifier: MIT */
#ifndef PN_VERITY_CPU_H
#define PN_VERITY_CPU_H

#include <stdint.h>

enum {
    PN_CPU_SHANI = 1u << 0, /* SHA-256 instructions, with SSSE3 and SSE4.1 */
    PN_CPU_AVX2 = 1u << 1,
    PN_CPU_AVX512 = 1u << 2, /* F, BW and VL, saved by the operating system */
    PN_CPU_NEON = 1u << 3,
    PN_CPU_ARM_SHA2 = 1u << 4,
    PN_CPU_ARM_SHA512 = 1u << 5,
};

/* What this CPU has, less what a test build masks through POWERNODE_CPU_MASK ("shani,avx512"). */
uint32_t pn_cpu_features(void);

#endif
