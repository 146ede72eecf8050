/* SPDX-License-Identifier: MIT
 *
 * The kernels of this build. The order is the first guess for CPUs we did not measure: most messages per cycle first.
 */
#include "kernels.h"

const struct pn_kernel *const pn_kernels[] = {
#if defined(__x86_64__)
    &pn_sha256_mixed_8,  &pn_sha256_shani_4,  &pn_sha256_shani_2,  &pn_sha256_avx512_16,
    &pn_sha256_shani_1,  &pn_sha256_avx2_8,   &pn_sha512_avx512_8, &pn_sha512_avx2_4,
#elif defined(__aarch64__)
    &pn_sha256_armce_4,  &pn_sha256_armce_2,  &pn_sha256_armce_1,
    &pn_sha256_neon_4,   &pn_sha512_armce_2,  &pn_sha512_armce_1,
#endif
    &pn_sha256_portable, &pn_sha512_portable,
};

const size_t pn_kernel_count = sizeof(pn_kernels) / sizeof(pn_kernels[0]);
