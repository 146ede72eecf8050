/* SPDX-License-Identifier: MIT
 *
 * What of a composefs image can be said in a layer, entry by entry, and the refusal of everything else. The rules and
 * their codes are those of src/powernode/archive/chunked/entry.py and src/powernode/module/_layer_tree.py.
 */
#ifndef PN_LAYER_ENTRY_H
#define PN_LAYER_ENTRY_H

#include "../composefs/view.h"
#include "bytes.h"

enum { PN_LAYER_FILE = '0', PN_LAYER_SYMLINK = '2', PN_LAYER_DIRECTORY = '5' }; /* tar's letters */
enum { PN_LAYER_INLINE_MAX = 64, PN_LAYER_PATH_MAX = 4095, PN_LAYER_NAME_MAX = 255, PN_LAYER_XATTRS_MAX = 32767 };
enum { PN_LAYER_ENTRIES_MAX = 500000, PN_LAYER_NAMES_MAX = 128 << 20 }; /* of a whole layer, as its readers allow */
enum { PN_LAYER_XATTR_COST = 96 };                                      /* of each, besides its bytes */

struct pn_layer_xattr {
    const uint8_t *name;
    const uint8_t *value;
    uint32_t name_size;
    uint32_t value_size;
};

struct pn_layer_entry {
    const uint8_t *name; /* as in the archive: directories end in a slash, the root is "./" */
    size_t name_size;
    uint8_t kind;
    uint32_t mode; /* permissions only */
    uint32_t uid;
    uint32_t gid;
    int64_t mtime_s;
    uint64_t size;
    const uint8_t *target; /* of a symbolic link */
    size_t target_size;
    const uint8_t *payload;               /* of a file above 64 bytes: its path in the store */
    const uint8_t *digest;                /* and its fs-verity digest */
    uint8_t content[PN_LAYER_INLINE_MAX]; /* of a smaller one */
    const struct pn_layer_xattr *xattrs;  /* sorted by name */
    uint32_t xattr_count;
    uint64_t where; /* in the image, for messages */
};

/* Memory that goes from entry to entry; zeros to begin with. */
struct pn_layer_names {
    uint8_t path[PN_LAYER_PATH_MAX + 2];         /* of the entry at hand, with a slash behind it if it is a directory */
    uint16_t lengths[PN_LAYER_PATH_MAX / 2 + 2]; /* of the path of the directory at each depth, with its slash */
    struct pn_bytes xattr_names;
    struct pn_bytes xattrs;
    uint64_t entries;
    uint64_t kept; /* bytes of all names, targets and extended attributes so far */
};

/* Fills `entry` from the view's; what it points to is valid until the next call. */
int32_t pn_layer_entry(struct pn_layer_names *names, const struct pn_view *view, struct pn_layer_entry *entry);
void pn_layer_names_free(struct pn_layer_names *names);

#endif
