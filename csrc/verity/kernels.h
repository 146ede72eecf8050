/* SPDX-License-Identifier: MIT
 *
 * The kernels one by one. Only registry.c and the kernel files include this.
 */
#ifndef PN_VERITY_KERNELS_H
#define PN_VERITY_KERNELS_H

#include "kernel.h"

extern const struct pn_kernel pn_sha256_portable, pn_sha512_portable;
#if defined(__x86_64__)
extern const struct pn_kernel pn_sha256_shani_1, pn_sha256_shani_2, pn_sha256_shani_4;
extern const struct pn_kernel pn_sha256_avx2_8, pn_sha256_avx512_16, pn_sha256_mixed_8;
extern const struct pn_kernel pn_sha512_avx2_4, pn_sha512_avx512_8;
#elif defined(__aarch64__)
extern const struct pn_kernel pn_sha256_armce_1, pn_sha256_armce_2, pn_sha256_armce_4, pn_sha256_neon_4;
extern const struct pn_kernel pn_sha512_armce_1, pn_sha512_armce_2;
#endif

#endif
