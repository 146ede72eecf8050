/* SPDX-License-Identifier: MIT
 *
 * CPU features that choose a kernel. Detection runs once per process; a race between two first callers computes the
 * same word twice and is harmless.
 */
#include "cpu.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t enabled_by_system(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

static uint32_t detect(void)
{
    uint32_t a, b, c, d, found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    int sse41 = (c & bit_SSE4_1) && (c & bit_SSSE3);
    int ymm = 0, zmm = 0;
    if (c & bit_OSXSAVE) {
        uint64_t saved = enabled_by_system();
        ymm = (saved & 0x06) == 0x06;
        zmm = (saved & 0xe6) == 0xe6;
    }
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    if (sse41 && (b & bit_SHA))
        found |= PN_CPU_SHANI;
    if (ymm && (b & bit_AVX2))
        found |= PN_CPU_AVX2;
    if (zmm && (b & bit_AVX512F) && (b & bit_AVX512BW) && (b & bit_AVX512VL))
        found |= PN_CPU_AVX512;
    return found;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

/* From the kernel's arm64 hwcap list; older C libraries lack some of the names. */
enum { HWCAP_ARM_SHA2 = 1 << 6, HWCAP_ARM_SHA512 = 1 << 21 };

static uint32_t detect(void)
{
    unsigned long caps = getauxval(AT_HWCAP);
    uint32_t found = PN_CPU_NEON; /* part of the base architecture */
    if (caps & HWCAP_ARM_SHA2)
        found |= PN_CPU_ARM_SHA2;
    if (caps & HWCAP_ARM_SHA512)
        found |= PN_CPU_ARM_SHA512;
    return found;
}
#else
static uint32_t detect(void)
{
    return 0;
}
#endif

#ifdef PN_TEST_BUILD
static uint32_t masked(void)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } names[] = {
        {"shani", PN_CPU_SHANI}, {"avx2", PN_CPU_AVX2},         {"avx512", PN_CPU_AVX512},
        {"neon", PN_CPU_NEON},   {"arm-sha2", PN_CPU_ARM_SHA2}, {"arm-sha512", PN_CPU_ARM_SHA512},
    };
    const char *list = getenv("POWERNODE_CPU_MASK");
    uint32_t mask = 0;
    while (list && *list) {
        size_t length = strcspn(list, ",");
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strlen(names[i].name) == length && memcmp(names[i].name, list, length) == 0)
                mask |= names[i].bit;
        list += length;
        list += *list == ',';
    }
    return mask;
}
#else
static uint32_t masked(void)
{
    return 0;
}
#endif

uint32_t pn_cpu_features(void)
{
    enum { KNOWN = 1u << 31 };
    static _Atomic uint32_t cache;
    uint32_t features = atomic_load_explicit(&cache, memory_order_relaxed);
    if (features == 0) {
        features = (detect() & ~masked()) | (uint32_t)KNOWN;
        atomic_store_explicit(&cache, features, memory_order_relaxed);
    }
    return features & ~(uint32_t)KNOWN;
}
