/* SPDX-License-Identifier: MIT */
#include "xattr.h"

#include "sort.h"

static const char OVERLAY[] = "trusted.overlay.";
#define OVERLAY_SIZE (sizeof(OVERLAY) - 1)

static uint8_t name_rank(const uint8_t *name, uint32_t size, int raw)
{
    if (size >= OVERLAY_SIZE && memcmp(name, OVERLAY, OVERLAY_SIZE) == 0) {
        if (!raw)
            return PN_RANK_ESCAPED;
        return name[OVERLAY_SIZE] == 'r' ? PN_RANK_REDIRECT : PN_RANK_METACOPY;
    }
    return pn_bytes_compare(name, size, (const uint8_t *)OVERLAY, OVERLAY_SIZE) < 0 ? PN_RANK_BEFORE : PN_RANK_BEHIND;
}

static int intern_name(struct pn_xattr_table *table, const uint8_t *name, uint32_t size, int raw, int copy,
                       uint32_t *id)
{
    uint32_t hash = pn_hash_bytes(table->key, (uint64_t)raw, name, size);
    uint32_t at = pn_index_start(&table->name_index, hash);
    while (pn_index_next(&table->name_index, hash, &at, id)) {
        const struct pn_xattr_name *known = &table->names[*id];
        if (known->size == size && known->raw == raw && memcmp(known->bytes, name, size) == 0)
            return 0;
    }
    int error = pn_array_reserve((void **)&table->names, &table->name_room, (uint64_t)table->name_count + 1,
                                 sizeof(*table->names));
    if (error)
        return error;
    const uint8_t *bytes = copy ? pn_arena_copy(table->arena, name, size) : name;
    if (!bytes)
        return -ENOMEM;
    *id = table->name_count;
    table->names[*id] = (struct pn_xattr_name){
        .bytes = bytes, .size = (uint8_t)size, .rank = name_rank(name, size, raw), .raw = (uint8_t)raw};
    error = pn_index_add(&table->name_index, hash, *id);
    if (!error)
        table->name_count++;
    return error;
}

int pn_xattr_intern(struct pn_xattr_table *table, const struct pn_xattr_input *input, int raw, int copy, uint32_t *id)
{
    if (!input->name_size || input->name_size > PN_XATTR_NAME_MAX || input->value_size > PN_XATTR_VALUE_MAX)
        return -ERANGE;
    uint32_t name;
    int error = intern_name(table, input->name, input->name_size, raw, copy, &name);
    if (error)
        return error;
    uint32_t hash = pn_hash_bytes(table->key, (uint64_t)name + 2, input->value, input->value_size);
    uint32_t at = pn_index_start(&table->pair_index, hash);
    while (pn_index_next(&table->pair_index, hash, &at, id)) {
        const struct pn_xattr *known = &table->pairs[*id];
        if (known->name == name && known->value_size == input->value_size &&
            (!input->value_size || memcmp(known->value, input->value, input->value_size) == 0))
            return 0;
    }
    error = pn_array_reserve((void **)&table->pairs, &table->pair_room, (uint64_t)table->pair_count + 1,
                             sizeof(*table->pairs));
    if (error)
        return error;
    const uint8_t *value = copy ? pn_arena_copy(table->arena, input->value, input->value_size) : input->value;
    if (copy && !value)
        return -ENOMEM;
    *id = table->pair_count;
    table->pairs[*id] = (struct pn_xattr){.value = value, .name = name, .value_size = (uint16_t)input->value_size};
    error = pn_index_add(&table->pair_index, hash, *id);
    if (!error)
        table->pair_count++;
    return error;
}

int pn_object_intern(struct pn_xattr_table *table, const uint8_t digest[PN_DIGEST_SIZE], uint32_t *id)
{
    /* A digest is already well spread, but the text it came from may lie: it is hashed like anything else. */
    uint32_t hash = pn_hash_bytes(table->key, 1, digest, PN_DIGEST_SIZE);
    uint32_t at = pn_index_start(&table->object_index, hash);
    while (pn_index_next(&table->object_index, hash, &at, id))
        if (memcmp(table->objects[*id].digest, digest, PN_DIGEST_SIZE) == 0)
            return 0;
    int error = pn_array_reserve((void **)&table->objects, &table->object_room, (uint64_t)table->object_count + 1,
                                 sizeof(*table->objects));
    if (error)
        return error;
    *id = table->object_count;
    memcpy(table->objects[*id].digest, digest, PN_DIGEST_SIZE);
    error = pn_index_add(&table->object_index, hash, *id);
    if (!error)
        table->object_count++;
    return error;
}

int pn_xattr_name_order(const struct pn_xattr_table *table, uint32_t left_pair, uint32_t right_pair)
{
    const struct pn_xattr_name *left = &table->names[table->pairs[left_pair].name];
    const struct pn_xattr_name *right = &table->names[table->pairs[right_pair].name];
    if (left->rank != right->rank)
        return left->rank < right->rank ? -1 : 1;
    return pn_bytes_compare(left->bytes, left->size, right->bytes, right->size);
}

void pn_xattr_table_free(struct pn_xattr_table *table)
{
    free(table->names);
    free(table->pairs);
    free(table->objects);
    pn_index_free(&table->name_index);
    pn_index_free(&table->pair_index);
    pn_index_free(&table->object_index);
    *table = (struct pn_xattr_table){0};
}
