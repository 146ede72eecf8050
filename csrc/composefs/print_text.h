/* SPDX-License-Identifier: MIT
 *
 * Text that grows in a pn_buffer. Writing is in two steps, so that a line costs one check and not one per byte:
 * pn_text_room makes sure that the worst case fits, the pn_put_* functions write without asking, and pn_text_commit
 * says how far they came.
 *
 * Escaping is that of dump files: backslash, \n, \r and \t by name, every other byte that is not a visible ASCII
 * character as \xHH; where the format needs it, also '='.
 */
#ifndef PN_COMPOSEFS_PRINT_TEXT_H
#define PN_COMPOSEFS_PRINT_TEXT_H

#include <stdint.h>
#include <string.h>

#include "../include/powernode.h"

/* What one input byte can become, and what the fast path may write past the end of its output. */
#define PN_ESCAPED_MAX 4u
#define PN_ESCAPED_SLACK 8u

enum pn_escape {
    PN_ESCAPE_FIELD = 1, /* a field of a dump line */
    PN_ESCAPE_XATTR = 2, /* the same, and '=' */
    PN_ESCAPE_PATH = 4,  /* a path of a listing: the space is itself */
};

struct pn_text {
    struct pn_buffer *buffer;
    uint64_t limit; /* on the size of the text; exceeded by less than one line */
    struct pn_failure *failure;
};

/* At least `size` bytes of room behind the text, or NULL (out of memory, or over the limit) with *error set. */
uint8_t *pn_text_room(struct pn_text *text, uint64_t size, uint64_t where, int32_t *error);

static inline void pn_text_commit(struct pn_text *text, const uint8_t *end)
{
    text->buffer->size = (uint64_t)(end - text->buffer->data);
}

uint8_t *pn_put_escaped_slowly(uint8_t *out, const uint8_t *bytes, uint64_t size, enum pn_escape escape);

/* Not zero if one of the eight bytes has to be escaped. The usual tricks on bytes in a word, each exact as a yes/no. */
static inline uint64_t pn_word_needs_escape(uint64_t word, enum pn_escape escape)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
    uint64_t backslash = word ^ ones * '\\';
    uint64_t found = (word - ones * (escape == PN_ESCAPE_PATH ? 0x20u : 0x21u)) & ~word; /* below */
    found |= word | (word + ones);                                                       /* 0x7f and above */
    found |= (backslash - ones) & ~backslash;
    if (escape == PN_ESCAPE_XATTR) {
        uint64_t equals = word ^ ones * '=';
        found |= (equals - ones) & ~equals;
    }
    return found & tops;
}

/* Needs PN_ESCAPED_MAX * size + PN_ESCAPED_SLACK bytes of room. */
static inline uint8_t *pn_put_escaped(uint8_t *out, const uint8_t *bytes, uint64_t size, enum pn_escape escape)
{
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        if (pn_word_needs_escape(word, escape) != 0)
            out = pn_put_escaped_slowly(out, bytes, 8, escape);
        else {
            memcpy(out, bytes, 8);
            out += 8;
        }
        bytes += 8;
        size -= 8;
    }
    return size == 0 ? out : pn_put_escaped_slowly(out, bytes, size, escape);
}

/* A field that would be taken for "nothing" if it were a bare dash. */
static inline uint8_t *pn_put_optional(uint8_t *out, const uint8_t *bytes, uint64_t size)
{
    if (size == 1 && bytes[0] == '-') {
        memcpy(out, "\\x2d", 4);
        return out + 4;
    }
    return pn_put_escaped(out, bytes, size, PN_ESCAPE_FIELD);
}

/* At most 20 bytes, 22 for octal. */
uint8_t *pn_put_decimal(uint8_t *out, uint64_t value);
uint8_t *pn_put_octal(uint8_t *out, uint64_t value);

#endif
