/* SPDX-License-Identifier: MIT
 *
 * xxHash, 32 bits, as published by its specification: EROFS picks the bit of an xattr name filter with it.
 */
#ifndef PN_EROFS_XXH32_H
#define PN_EROFS_XXH32_H

#include <stddef.h>
#include <stdint.h>

uint32_t pn_xxh32(const uint8_t *bytes, size_t size, uint32_t seed);

#endif
