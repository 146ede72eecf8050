/* SPDX-License-Identifier: MIT */
#include "document.h"
#include "text.h"

static void put_number(struct pn_bytes *out, const char *member, uint64_t value)
{
    pn_bytes_text(out, member);
    pn_bytes_decimal(out, value);
}

void pn_toc_first_members(struct pn_bytes *out, const struct pn_layer_entry *entry)
{
    if (entry->digest) {
        pn_bytes_text(out, "\"fsVerityDigest\":\"");
        pn_text_hex(out, entry->digest, PN_VIEW_DIGEST_SIZE);
        pn_bytes_text(out, "\",");
    }
    put_number(out, "\"gid\":", entry->gid);
    if (entry->size && !entry->digest) {
        pn_bytes_text(out, ",\"inlineContent\":\"");
        pn_text_base64(out, entry->content, (size_t)entry->size);
        pn_bytes_text(out, "\"");
    }
    if (entry->kind == PN_LAYER_SYMLINK) {
        pn_bytes_text(out, ",\"linkName\":");
        pn_text_json(out, entry->target, entry->target_size);
    }
    put_number(out, ",\"mode\":", entry->mode);
    pn_bytes_text(out, ",\"modtime\":\"");
    pn_text_time(out, entry->mtime_s);
    pn_bytes_text(out, "\",\"name\":");
    pn_text_json(out, entry->name, entry->name_size);
}

void pn_toc_last_members(struct pn_bytes *out, const struct pn_layer_entry *entry)
{
    if (entry->kind == PN_LAYER_FILE) {
        put_number(out, "\"size\":", entry->size);
        pn_bytes_text(out, ",");
    }
    pn_bytes_text(out, entry->kind == PN_LAYER_FILE      ? "\"type\":\"reg\""
                       : entry->kind == PN_LAYER_SYMLINK ? "\"type\":\"symlink\""
                                                         : "\"type\":\"dir\"");
    put_number(out, ",\"uid\":", entry->uid);
    for (uint32_t i = 0; i < entry->xattr_count; i++) {
        const struct pn_layer_xattr *xattr = &entry->xattrs[i];
        pn_bytes_text(out, i ? "\"," : ",\"xattrs\":{");
        pn_text_json(out, xattr->name, xattr->name_size);
        pn_bytes_text(out, ":\"");
        pn_text_base64(out, xattr->value, xattr->value_size);
    }
    pn_bytes_text(out, entry->xattr_count ? "\"}}" : "}");
}

void pn_split_raw(struct pn_bytes *out, const uint8_t *data, size_t size, uint64_t position)
{
    pn_bytes_text(out, "{\"payload\":\"");
    pn_text_base64(out, data, size);
    put_number(out, "\",\"position\":", position);
    pn_bytes_text(out, ",\"type\":2}\n");
}

size_t pn_split_file(struct pn_bytes *out, const struct pn_layer_entry *entry, uint64_t position)
{
    pn_bytes_text(out, "{\"name\":");
    pn_text_json(out, entry->name, entry->name_size);
    pn_bytes_text(out, entry->size ? ",\"payload\":\"" : ",\"payload\":null");
    size_t hole = out->size;
    if (entry->size) {
        pn_bytes_zeros(out, PN_SPLIT_CHECKSUM_SIZE);
        pn_bytes_text(out, "\"");
    }
    put_number(out, ",\"position\":", position);
    put_number(out, ",\"size\":", entry->size);
    pn_bytes_text(out, ",\"type\":1}\n");
    return hole;
}
