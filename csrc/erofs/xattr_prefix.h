/* SPDX-License-Identifier: MIT
 *
 * The beginnings of attribute names that EROFS stores as a number, PN_EROFS_XATTR_INDEX_*. Shared by writer and reader.
 */
#ifndef PN_EROFS_XATTR_PREFIX_H
#define PN_EROFS_XATTR_PREFIX_H

#include "format.h"

#define PN_EROFS_XATTR_PREFIXES 7u

static const struct pn_erofs_prefix {
    char text[24]; /* the longest has no room for a NUL */
    uint8_t size;
} pn_erofs_xattr_prefixes[PN_EROFS_XATTR_PREFIXES] = {
    {"", 0},
    {"user.", 5},
    {"system.posix_acl_access", 23},
    {"system.posix_acl_default", 24},
    {"trusted.", 8},
    {"lustre.", 7},
    {"security.", 9},
};

/* The number composefs writes for a name: that of the prefix it begins with, save for Lustre's; else NONE. */
static inline uint8_t pn_erofs_xattr_index(const uint8_t *name, uint32_t size)
{
    for (uint8_t i = 1; i < PN_EROFS_XATTR_PREFIXES; i++) {
        const struct pn_erofs_prefix *prefix = &pn_erofs_xattr_prefixes[i];
        if (i != PN_EROFS_XATTR_INDEX_LUSTRE && size >= prefix->size && memcmp(name, prefix->text, prefix->size) == 0)
            return i;
    }
    return PN_EROFS_XATTR_INDEX_NONE;
}

#endif
