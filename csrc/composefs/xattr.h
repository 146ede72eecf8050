/* SPDX-License-Identifier: MIT
 *
 * Interned extended attributes and object digests of one tree. An image stores an attribute once when several inodes
 * carry it, so equal (name, value) pairs get one id when they are added, and sharing is later only a count.
 *
 * Names are kept as the tree has them. Every `trusted.overlay.*` of the tree is written with one more `overlay.`, which
 * never changes the order of names; the few attributes the image itself adds (`raw`) are written as they are. `rank`
 * puts both kinds in the order of the written names:
 *   0 names before "trusted.overlay."   1 raw metacopy, opaque   2 escaped names   3 raw redirect   4 names behind
 */
#ifndef PN_COMPOSEFS_XATTR_H
#define PN_COMPOSEFS_XATTR_H

#include "arena.h"
#include "index.h"

#define PN_XATTR_NAME_MAX 255u
#define PN_XATTR_VALUE_MAX 65535u
/* What one inode may carry, counted pessimistically: name + value + 7 each, 12 for the header. */
#define PN_XATTR_TOTAL_MAX 32767u
#define PN_XATTR_ENTRY_COST 7u
#define PN_XATTR_HEADER_COST 12u

#define PN_DIGEST_SIZE 32u

enum { PN_RANK_BEFORE, PN_RANK_METACOPY, PN_RANK_ESCAPED, PN_RANK_REDIRECT, PN_RANK_BEHIND };

struct pn_xattr_name {
    const uint8_t *bytes;
    uint8_t size;
    uint8_t rank;
    uint8_t raw;
};

struct pn_xattr {
    const uint8_t *value;
    uint32_t name;
    uint16_t value_size;
};

/* An object of the store, by fs-verity SHA-256: what metacopy and redirect of the files with this content hold. */
struct pn_object {
    uint8_t digest[PN_DIGEST_SIZE];
};

struct pn_xattr_table {
    struct pn_hash_key key;
    struct pn_arena *arena;
    struct pn_xattr_name *names;
    struct pn_xattr *pairs;
    struct pn_object *objects;
    uint32_t name_count, name_room, pair_count, pair_room, object_count, object_room;
    struct pn_index name_index, pair_index, object_index;
};

/* One attribute as a caller hands it in. */
struct pn_xattr_input {
    const uint8_t *name;
    const uint8_t *value;
    uint32_t name_size;
    uint32_t value_size;
};

void pn_xattr_table_free(struct pn_xattr_table *table);

/* The id of a (name, value) pair; with `copy` the bytes go to the arena when they are new, else they must outlive it.
 */
int pn_xattr_intern(struct pn_xattr_table *table, const struct pn_xattr_input *input, int raw, int copy, uint32_t *id);
int pn_object_intern(struct pn_xattr_table *table, const uint8_t digest[PN_DIGEST_SIZE], uint32_t *id);

/* Order of two pairs of one inode by written name; equal only for the same name. */
int pn_xattr_name_order(const struct pn_xattr_table *table, uint32_t left_pair, uint32_t right_pair);

#endif
