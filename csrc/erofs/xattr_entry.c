/* SPDX-License-Identifier: MIT */
#include "xattr_entry.h"

#include "../composefs/hex.h"
#include "xattr_prefix.h"
#include "xxh32.h"

static const char METACOPY[] = "overlay.metacopy";
static const char REDIRECT[] = "overlay.redirect";
#define IMPLIED_SIZE 16u
_Static_assert(sizeof(METACOPY) == IMPLIED_SIZE + 1 && sizeof(REDIRECT) == IMPLIED_SIZE + 1, "both names");

#define ALIGN4(size) (((size) + 3u) & ~3u)

struct pn_xattr_suffix pn_xattr_suffix(const struct pn_xattr_name *name)
{
    const uint8_t index = pn_erofs_xattr_index(name->bytes, name->size);
    const uint8_t skip = pn_erofs_xattr_prefixes[index].size;
    struct pn_xattr_suffix suffix = {.bytes = name->bytes + skip, .size = (uint32_t)name->size - skip, .index = index};
    if (name->rank == PN_RANK_ESCAPED)
        suffix.insert_size = sizeof(PN_XATTR_INSERT) - 1;
    return suffix;
}

uint8_t pn_xattr_filter_bit(uint8_t index, const uint8_t *suffix, uint32_t size)
{
    return pn_xxh32(suffix, size, PN_EROFS_XATTR_FILTER_SEED + index) & 31u;
}

uint32_t pn_xattr_entry_size(const struct pn_image_plan *plan, uint32_t ref)
{
    if ((ref & PN_REF_KIND) == PN_REF_METACOPY)
        return ALIGN4(PN_EROFS_XATTR_ENTRY + IMPLIED_SIZE + PN_METACOPY_SIZE);
    if ((ref & PN_REF_KIND) == PN_REF_REDIRECT)
        return ALIGN4(PN_EROFS_XATTR_ENTRY + IMPLIED_SIZE + PN_REDIRECT_SIZE);
    const struct pn_xattr *pair = &plan->tree->xattrs.pairs[ref];
    struct pn_xattr_suffix suffix = pn_xattr_suffix(&plan->tree->xattrs.names[pair->name]);
    return ALIGN4(PN_EROFS_XATTR_ENTRY + suffix.insert_size + suffix.size + pair->value_size);
}

static void object_path(const uint8_t *digest, uint8_t *out)
{
    *out++ = '/';
    out = pn_hex_encode(out, digest, 1);
    *out++ = '/';
    pn_hex_encode(out, digest + 1, PN_DIGEST_SIZE - 1);
}

static void metacopy_value(const uint8_t *digest, uint8_t *out)
{
    out[0] = 0; /* version */
    out[1] = PN_METACOPY_SIZE;
    out[2] = 0; /* flags */
    out[3] = 1; /* SHA-256 */
    memcpy(out + 4, digest, PN_DIGEST_SIZE);
}

const uint8_t *pn_xattr_value(const struct pn_image_plan *plan, uint32_t ref, uint8_t room[PN_REDIRECT_SIZE],
                              uint32_t *size)
{
    const struct pn_xattr_table *table = &plan->tree->xattrs;
    switch (ref & PN_REF_KIND) {
    case PN_REF_METACOPY:
        *size = PN_METACOPY_SIZE;
        metacopy_value(table->objects[ref & PN_REF_ID].digest, room);
        return room;
    case PN_REF_REDIRECT:
        *size = PN_REDIRECT_SIZE;
        object_path(table->objects[ref & PN_REF_ID].digest, room);
        return room;
    default:
        *size = table->pairs[ref].value_size;
        return table->pairs[ref].value;
    }
}

static uint8_t *finish_entry(uint8_t *start, uint8_t *end)
{
    while ((end - start) & 3)
        *end++ = 0;
    return end;
}

static uint8_t *implied_entry(uint8_t *out, const char *name, uint32_t value_size)
{
    out[PN_EROFS_XE_NAME_LEN] = IMPLIED_SIZE;
    out[PN_EROFS_XE_NAME_INDEX] = PN_EROFS_XATTR_INDEX_TRUSTED;
    pn_put_u16(out + PN_EROFS_XE_VALUE_SIZE, (uint16_t)value_size);
    memcpy(out + PN_EROFS_XATTR_ENTRY, name, IMPLIED_SIZE);
    return out + PN_EROFS_XATTR_ENTRY + IMPLIED_SIZE;
}

uint8_t *pn_xattr_entry_write(const struct pn_image_plan *plan, uint32_t ref, uint8_t *out)
{
    const struct pn_xattr_table *table = &plan->tree->xattrs;
    uint8_t *start = out;
    if ((ref & PN_REF_KIND) == PN_REF_METACOPY) {
        out = implied_entry(out, METACOPY, PN_METACOPY_SIZE);
        metacopy_value(table->objects[ref & PN_REF_ID].digest, out);
        return finish_entry(start, out + PN_METACOPY_SIZE);
    }
    if ((ref & PN_REF_KIND) == PN_REF_REDIRECT) {
        out = implied_entry(out, REDIRECT, PN_REDIRECT_SIZE);
        object_path(table->objects[ref & PN_REF_ID].digest, out);
        return finish_entry(start, out + PN_REDIRECT_SIZE);
    }
    const struct pn_xattr *pair = &table->pairs[ref];
    struct pn_xattr_suffix suffix = pn_xattr_suffix(&table->names[pair->name]);
    out[PN_EROFS_XE_NAME_LEN] = (uint8_t)(suffix.insert_size + suffix.size);
    out[PN_EROFS_XE_NAME_INDEX] = suffix.index;
    pn_put_u16(out + PN_EROFS_XE_VALUE_SIZE, pair->value_size);
    out += PN_EROFS_XATTR_ENTRY;
    memcpy(out, PN_XATTR_INSERT, suffix.insert_size);
    out += suffix.insert_size;
    memcpy(out, suffix.bytes, suffix.size);
    out += suffix.size;
    if (pair->value_size)
        memcpy(out, pair->value, pair->value_size);
    return finish_entry(start, out + pair->value_size);
}
