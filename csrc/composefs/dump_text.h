/* SPDX-License-Identifier: MIT
 *
 * The pieces of one line of dump text: fields between single spaces, numbers, escapes. Private to the dump parser.
 */
#ifndef PN_COMPOSEFS_DUMP_TEXT_H
#define PN_COMPOSEFS_DUMP_TEXT_H

#include <stdint.h>
#include <string.h>

#include "arena.h"

struct pn_slice {
    const uint8_t *bytes;
    size_t size;
};

enum {
    PN_FIELD_PATH,
    PN_FIELD_SIZE,
    PN_FIELD_MODE,
    PN_FIELD_NLINK,
    PN_FIELD_UID,
    PN_FIELD_GID,
    PN_FIELD_RDEV,
    PN_FIELD_MTIME,
    PN_FIELD_PAYLOAD,
    PN_FIELD_CONTENT,
    PN_FIELD_DIGEST,
    PN_FIELD_COUNT
};

/* Takes what stands before `separator` off the front of `rest`. Returns 0 when there was no separator. */
int pn_slice_split(struct pn_slice *rest, uint8_t separator, struct pn_slice *part);

/* What strtoull accepts of a whole field: leading white space and a sign too; too large becomes 2^64 - 1. */
int pn_slice_number(struct pn_slice field, unsigned base, uint64_t *value);

/* Undoes \\ \n \r \t \xHH. Text without a backslash is returned as it is; otherwise the result is in the arena.
 * -EINVAL for a wrong escape. */
int pn_slice_unescape(struct pn_arena *arena, struct pn_slice escaped, struct pn_slice *plain);

static inline int pn_slice_is(struct pn_slice text, char only)
{
    return text.size == 1 && text.bytes[0] == (uint8_t)only;
}

#endif
