/* SPDX-License-Identifier: MIT
 *
 * One extended attribute as EROFS stores it: the name split into a well-known prefix and the rest, then the value.
 */
#ifndef PN_EROFS_XATTR_ENTRY_H
#define PN_EROFS_XATTR_ENTRY_H

#include "plan.h"

/* The written name without its prefix. `insert` is "overlay." for escaped names, else empty. */
struct pn_xattr_suffix {
    const uint8_t *bytes;
    uint32_t size;
    uint32_t insert_size;
    uint8_t index;
};

#define PN_XATTR_INSERT "overlay."
/* Longest: 255 - 8 + 8 */
#define PN_XATTR_SUFFIX_MAX 255u

struct pn_xattr_suffix pn_xattr_suffix(const struct pn_xattr_name *name);

/* Bytes of the entry of a ref, padded to 4. */
uint32_t pn_xattr_entry_size(const struct pn_image_plan *plan, uint32_t ref);
/* Writes it and returns the end. */
uint8_t *pn_xattr_entry_write(const struct pn_image_plan *plan, uint32_t ref, uint8_t *out);
/* The value of a ref; `room` holds it when it is made up from a digest. */
const uint8_t *pn_xattr_value(const struct pn_image_plan *plan, uint32_t ref, uint8_t room[PN_REDIRECT_SIZE],
                              uint32_t *size);
/* The bit (0..31) of a name in the filter. */
uint8_t pn_xattr_filter_bit(uint8_t index, const uint8_t *suffix, uint32_t size);

#endif
