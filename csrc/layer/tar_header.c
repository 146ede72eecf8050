/* SPDX-License-Identifier: MIT */
#include "tar_header.h"

enum { NAME = 100, ID_DIGITS = 7, LONG_DIGITS = 11 };

struct fields {
    const uint8_t *name;
    size_t name_size;
    uint32_t mode;
    uint64_t uid;
    uint64_t gid;
    uint64_t size;
    uint64_t mtime;
    uint8_t kind;
    const uint8_t *target;
    size_t target_size;
};

/* `digits` octal digits and a NUL. */
static void put_octal(uint8_t *to, uint64_t value, unsigned digits)
{
    for (unsigned i = digits; i--; value >>= 3)
        to[i] = (uint8_t)('0' + (value & 7));
}

static void put_block(struct pn_bytes *out, const struct fields *fields)
{
    uint8_t *block = pn_bytes_add(out, PN_TAR_BLOCK);
    if (!block)
        return;
    memset(block, 0, PN_TAR_BLOCK);
    memcpy(block, fields->name, fields->name_size < NAME ? fields->name_size : NAME);
    put_octal(block + 100, fields->mode, ID_DIGITS);
    put_octal(block + 108, fields->uid, ID_DIGITS);
    put_octal(block + 116, fields->gid, ID_DIGITS);
    put_octal(block + 124, fields->size, LONG_DIGITS);
    put_octal(block + 136, fields->mtime, LONG_DIGITS);
    memset(block + 148, ' ', 8);
    block[156] = fields->kind;
    if (fields->target_size)
        memcpy(block + 157, fields->target, fields->target_size < NAME ? fields->target_size : NAME);
    memcpy(block + 257, "ustar\00000", 8);
    put_octal(block + 329, 0, ID_DIGITS);
    put_octal(block + 337, 0, ID_DIGITS);
    uint32_t sum = 0;
    for (unsigned i = 0; i < PN_TAR_BLOCK; i++)
        sum += block[i];
    put_octal(block + 148, sum, 6);
    block[154] = 0;
}

static unsigned digits_of(size_t value)
{
    unsigned digits = 1;
    while (value /= 10)
        digits++;
    return digits;
}

/* "LENGTH KEY=VALUE\n"; the length counts its own digits. */
static void put_record(struct pn_bytes *out, const char *key, const struct pn_layer_xattr *xattr)
{
    size_t rest = strlen(key) + xattr->name_size + xattr->value_size + 3; /* each below 2^32 */
    size_t size = rest + digits_of(rest);
    if (digits_of(size) != digits_of(rest))
        size = rest + digits_of(size);
    pn_bytes_decimal(out, size);
    pn_bytes_text(out, " ");
    pn_bytes_text(out, key);
    pn_bytes_put(out, xattr->name, xattr->name_size);
    pn_bytes_text(out, "=");
    pn_bytes_put(out, xattr->value, xattr->value_size);
    pn_bytes_text(out, "\n");
}

static void put_text_record(struct pn_bytes *out, const char *key, const uint8_t *value, size_t size)
{
    put_record(out, key, &(struct pn_layer_xattr){.name = value, .value = value, .value_size = (uint32_t)size});
}

/* What fits is left to the ustar header; what does not becomes a record, and 0 there. */
static uint64_t put_number_record(struct pn_bytes *out, const char *key, int64_t value, unsigned digits)
{
    if (value >= 0 && (uint64_t)value >> 3 * digits == 0)
        return (uint64_t)value;
    struct pn_bytes text = {0};
    pn_bytes_signed(&text, value);
    put_text_record(out, key, text.data, text.size);
    out->failed |= text.failed;
    pn_bytes_free(&text);
    return 0;
}

void pn_tar_header(struct pn_bytes *out, const struct pn_layer_entry *entry, struct pn_bytes *scratch)
{
    static const uint8_t pax_name[] = "././@PaxHeader";
    struct fields fields = {.name = entry->name,
                            .name_size = entry->name_size,
                            .mode = entry->mode,
                            .kind = entry->kind,
                            .target = entry->target,
                            .target_size = entry->target_size};
    scratch->size = 0;
    /* Sorted by key. */
    for (uint32_t i = 0; i < entry->xattr_count; i++)
        put_record(scratch, "SCHILY.xattr.", &entry->xattrs[i]);
    fields.gid = put_number_record(scratch, "gid", entry->gid, ID_DIGITS);
    if (entry->target_size > NAME)
        put_text_record(scratch, "linkpath", entry->target, entry->target_size);
    fields.mtime = put_number_record(scratch, "mtime", entry->mtime_s, LONG_DIGITS);
    if (entry->name_size > NAME)
        put_text_record(scratch, "path", entry->name, entry->name_size);
    fields.size = put_number_record(scratch, "size", (int64_t)entry->size, LONG_DIGITS);
    fields.uid = put_number_record(scratch, "uid", entry->uid, ID_DIGITS);
    if (scratch->size) {
        put_block(
            out,
            &(struct fields){
                .name = pax_name, .name_size = sizeof(pax_name) - 1, .mode = 0644, .size = scratch->size, .kind = 'x'});
        pn_bytes_put(out, scratch->data, scratch->size);
        pn_bytes_zeros(out, pn_tar_padding(scratch->size));
    }
    put_block(out, &fields);
    out->failed |= scratch->failed;
}
