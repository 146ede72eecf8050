/* SPDX-License-Identifier: MIT */
#include "dump_text.h"

#include <errno.h>

#include "hex.h"

int pn_slice_split(struct pn_slice *rest, uint8_t separator, struct pn_slice *part)
{
    const uint8_t *end = rest->size ? memchr(rest->bytes, separator, rest->size) : NULL;
    part->bytes = rest->bytes;
    if (!end) {
        part->size = rest->size;
        rest->bytes += rest->size;
        rest->size = 0;
        return 0;
    }
    part->size = (size_t)(end - rest->bytes);
    rest->size -= part->size + 1;
    rest->bytes = end + 1;
    return 1;
}

static int space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

int pn_slice_number(struct pn_slice field, unsigned base, uint64_t *value)
{
    const uint8_t *at = field.bytes, *end = at + field.size;
    uint64_t number = 0;
    int negative = 0, huge = 0;

    while (at < end && space(*at))
        at++;
    if (at < end && (*at == '+' || *at == '-'))
        negative = *at++ == '-';
    if (at == end)
        return -EINVAL;
    /* Up to 19 digits of either base fit 64 bits; only longer numbers need a check, which costs a division. */
    const uint8_t *safe = end - at > 19 ? at + 19 : end;
    for (; at < safe; at++) {
        unsigned digit = (unsigned)*at - '0';
        if (digit >= base)
            return -EINVAL;
        number = number * base + digit;
    }
    for (; at < end; at++) {
        unsigned digit = (unsigned)*at - '0';
        if (digit >= base)
            return -EINVAL;
        huge |= number > (UINT64_MAX - digit) / base;
        number = number * base + digit;
    }
    *value = huge ? UINT64_MAX : negative ? 0 - number : number;
    return 0;
}

int pn_slice_unescape(struct pn_arena *arena, struct pn_slice escaped, struct pn_slice *plain)
{
    const uint8_t *at = escaped.size ? memchr(escaped.bytes, '\\', escaped.size) : NULL;
    const uint8_t *end = escaped.bytes + escaped.size;
    *plain = escaped;
    if (!at)
        return 0;
    uint8_t *start = pn_arena_take(arena, escaped.size);
    if (!start)
        return -ENOMEM;
    uint8_t *out = start;
    memcpy(out, escaped.bytes, (size_t)(at - escaped.bytes));
    out += at - escaped.bytes;
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        if (end - at < 2)
            return -EINVAL;
        switch (at[1]) {
        case '\\':
            *out++ = '\\';
            break;
        case 'n':
            *out++ = '\n';
            break;
        case 'r':
            *out++ = '\r';
            break;
        case 't':
            *out++ = '\t';
            break;
        case 'x':
            if (end - at < 4 || pn_hex_decode(at + 2, 1, out) & PN_HEX_INVALID)
                return -EINVAL;
            out++;
            at += 2;
            break;
        default:
            return -EINVAL;
        }
        at += 2;
    }
    *plain = (struct pn_slice){.bytes = start, .size = (size_t)(out - start)};
    return 0;
}
