/* SPDX-License-Identifier: MIT */
#include "bytes.h"

#include <stdlib.h>

uint8_t *pn_bytes_add(struct pn_bytes *bytes, size_t count)
{
    if (count > bytes->room - bytes->size || !bytes->data) {
        size_t room = bytes->room > 128 ? bytes->room : 128;
        while (room - bytes->size < count) {
            if (room > SIZE_MAX / 2) {
                bytes->failed = true;
                return NULL;
            }
            room *= 2;
        }
        uint8_t *grown = realloc(bytes->data, room);
        if (!grown) {
            bytes->failed = true;
            return NULL;
        }
        bytes->data = grown;
        bytes->room = room;
    }
    bytes->size += count;
    return bytes->data + bytes->size - count;
}

void pn_bytes_free(struct pn_bytes *bytes)
{
    free(bytes->data);
    memset(bytes, 0, sizeof(*bytes));
}

void pn_bytes_decimal(struct pn_bytes *bytes, uint64_t value)
{
    char digits[20];
    unsigned at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    pn_bytes_put(bytes, digits + at, sizeof(digits) - at);
}

void pn_bytes_signed(struct pn_bytes *bytes, int64_t value)
{
    if (value < 0)
        pn_bytes_text(bytes, "-");
    pn_bytes_decimal(bytes, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}
