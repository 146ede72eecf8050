/* SPDX-License-Identifier: MIT */
#include "print_text.h"

#include <errno.h>
#include <stdlib.h>

#include "failure.h"
#include "hex.h"

uint8_t *pn_text_room(struct pn_text *text, uint64_t size, uint64_t where, int32_t *error)
{
    struct pn_buffer *buffer = text->buffer;
    if (buffer->size > text->limit) {
        *error = pn_refuse(text->failure, -E2BIG, where, "composefs.text-size",
                           "the text would exceed %llu bytes, far more than an honest image of this size has",
                           (unsigned long long)text->limit);
        return NULL;
    }
    if (buffer->capacity - buffer->size < size) {
        uint64_t capacity = buffer->capacity;
        while (capacity - buffer->size < size && capacity <= UINT64_MAX / 4)
            capacity = capacity < 4096 ? 4096 : 2 * capacity;
        uint8_t *grown = NULL;
        if (capacity - buffer->size >= size && capacity <= SIZE_MAX)
            grown = realloc(buffer->data, (size_t)capacity);
        if (grown == NULL) {
            *error = pn_refuse(text->failure, -ENOMEM, where, "composefs.memory", "out of memory");
            return NULL;
        }
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->size;
}

static int is_plain(uint8_t c, enum pn_escape escape)
{
    if (c == ' ')
        return escape == PN_ESCAPE_PATH;
    if (c == '=')
        return escape != PN_ESCAPE_XATTR;
    return c > ' ' && c < 0x7f && c != '\\';
}

uint8_t *pn_put_escaped_slowly(uint8_t *out, const uint8_t *bytes, uint64_t size, enum pn_escape escape)
{
    for (uint64_t i = 0; i < size; i++) {
        uint8_t c = bytes[i];
        if (is_plain(c, escape)) {
            *out++ = c;
            continue;
        }
        *out++ = '\\';
        switch (c) {
        case '\\':
            *out++ = '\\';
            break;
        case '\n':
            *out++ = 'n';
            break;
        case '\r':
            *out++ = 'r';
            break;
        case '\t':
            *out++ = 't';
            break;
        default:
            *out++ = 'x';
            out = pn_hex_encode(out, &c, 1);
        }
    }
    return out;
}

uint8_t *pn_put_decimal(uint8_t *out, uint64_t value)
{
    uint8_t digits[20];
    uint32_t start = sizeof digits;
    if (value < 10) {
        *out = (uint8_t)('0' + value);
        return out + 1;
    }
    for (; value >= 10; value /= 100) {
        start -= 2;
        digits[start] = (uint8_t)('0' + value % 100 / 10);
        digits[start + 1] = (uint8_t)('0' + value % 10);
    }
    if (value != 0)
        digits[--start] = (uint8_t)('0' + value);
    memcpy(out, digits + start, sizeof digits - start);
    return out + (sizeof digits - start);
}

uint8_t *pn_put_octal(uint8_t *out, uint64_t value)
{
    uint32_t shift = 0;
    while (shift < 63 && value >> (shift + 3) != 0)
        shift += 3;
    for (;; shift -= 3) {
        *out++ = (uint8_t)('0' + (value >> shift & 7));
        if (shift == 0)
            return out;
    }
}
