/* SPDX-License-Identifier: MIT */
#include "text.h"
#include "../composefs/hex.h"

/* The character at `text`, and how many bytes it has; 0 where there is none. */
static unsigned decode(const uint8_t *text, size_t size, uint32_t *character)
{
    uint8_t first = text[0];
    unsigned length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length == 0 || length > size)
        return 0;
    uint32_t value = length == 1 ? first : first & (0x7fu >> length);
    for (unsigned i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (text[i] & 0x3f);
    }
    if ((length == 3 && value < 0x800) || (length == 4 && (value < 0x10000 || value > 0x10ffff)) ||
        (value >= 0xd800 && value < 0xe000))
        return 0;
    *character = value;
    return length;
}

bool pn_text_is_utf8(const uint8_t *text, size_t size)
{
    uint32_t character;
    while (size) {
        unsigned length = decode(text, size, &character);
        if (length == 0)
            return false;
        text += length, size -= length;
    }
    return true;
}

static void escape(struct pn_bytes *out, uint32_t unit)
{
    uint8_t text[6] = {'\\', 'u'};
    const uint8_t bytes[2] = {(uint8_t)(unit >> 8), (uint8_t)unit};
    pn_hex_encode(text + 2, bytes, 2);
    pn_bytes_put(out, text, sizeof(text));
}

static void put_character(struct pn_bytes *out, uint32_t character)
{
    static const char named[] = "\"\"\\\\\nn\rr\tt\ff\bb"; /* a character and its letter */
    for (const char *at = named; *at; at += 2)
        if ((uint32_t)*at == character) {
            const char text[2] = {'\\', at[1]};
            pn_bytes_put(out, text, 2);
            return;
        }
    if (character >= 0x10000) {
        escape(out, 0xd800 + ((character - 0x10000) >> 10));
        escape(out, 0xdc00 + ((character - 0x10000) & 0x3ff));
    } else {
        escape(out, character);
    }
}

void pn_text_json(struct pn_bytes *out, const uint8_t *text, size_t size)
{
    pn_bytes_text(out, "\"");
    while (size) {
        size_t plain = 0;
        while (plain < size && text[plain] >= ' ' && text[plain] < 0x7f && text[plain] != '"' && text[plain] != '\\')
            plain++;
        pn_bytes_put(out, text, plain);
        text += plain, size -= plain;
        uint32_t character = 0;
        unsigned length = size ? decode(text, size, &character) : 0;
        if (length == 0)
            break; /* the end; callers have asked whether it is UTF-8 */
        put_character(out, character);
        text += length, size -= length;
    }
    pn_bytes_text(out, "\"");
}

void pn_text_base64(struct pn_bytes *out, const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (size > SIZE_MAX / 2) {
        out->failed = true;
        return;
    }
    uint8_t *to = pn_bytes_add(out, (size + 2) / 3 * 4);
    if (!to)
        return;
    for (; size >= 3; data += 3, size -= 3, to += 4) {
        uint32_t bits = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];
        for (unsigned i = 0; i < 4; i++)
            to[i] = (uint8_t)digits[bits >> (18 - 6 * i) & 63];
    }
    if (size) {
        uint32_t bits = (uint32_t)data[0] << 16 | (size == 2 ? (uint32_t)data[1] << 8 : 0);
        for (unsigned i = 0; i < 4; i++)
            to[i] = i <= size ? (uint8_t)digits[bits >> (18 - 6 * i) & 63] : '=';
    }
}

void pn_text_hex(struct pn_bytes *out, const uint8_t *data, uint32_t size)
{
    uint8_t *to = pn_bytes_add(out, 2 * (size_t)size);
    if (to)
        pn_hex_encode(to, data, size);
}

static void put_padded(struct pn_bytes *out, uint32_t value, unsigned width, char behind)
{
    uint8_t text[5];
    for (unsigned i = width; i--; value /= 10)
        text[i] = (uint8_t)('0' + value % 10);
    text[width] = (uint8_t)behind;
    pn_bytes_put(out, text, width + 1);
}

void pn_text_time(struct pn_bytes *out, int64_t seconds)
{
    /* Days since 1 March of the year 0 on the calendar that has always been ours, so that leap days come last. */
    int64_t days = (seconds >= 0 ? seconds : seconds - 86399) / 86400;
    uint32_t second = (uint32_t)(seconds - days * 86400);
    uint32_t since = (uint32_t)(days + 719468);
    uint32_t era = since / 146097, day_of_era = since % 146097;
    uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t month = (5 * day_of_year + 2) / 153;
    uint32_t day = day_of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    put_padded(out, year_of_era + era * 400 + (month <= 2), 4, '-');
    put_padded(out, month, 2, '-');
    put_padded(out, day, 2, 'T');
    put_padded(out, second / 3600, 2, ':');
    put_padded(out, second / 60 % 60, 2, ':');
    put_padded(out, second % 60, 2, 'Z');
}
