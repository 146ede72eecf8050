/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "failure.h"
#include "print.h"

static int32_t refuse_memory(struct pn_failure *failure, const struct pn_view_entry *entry)
{
    return pn_refuse(failure, -ENOMEM, entry->inode.offset, "composefs.memory", "out of memory");
}

int32_t pn_path_follow(struct pn_path *path, const struct pn_view_entry *entry, enum pn_escape escape,
                       struct pn_failure *failure)
{
    uint64_t depth = entry->depth;
    path->size = depth == 0 ? 0 : path->lengths[depth - 1];
    if (depth >= path->depth_capacity) {
        uint64_t capacity = path->depth_capacity == 0 ? 32 : 2 * path->depth_capacity;
        uint64_t *grown = NULL;
        if (capacity <= SIZE_MAX / sizeof *grown)
            grown = realloc(path->lengths, (size_t)capacity * sizeof *grown);
        if (grown == NULL)
            return refuse_memory(failure, entry);
        path->lengths = grown;
        path->depth_capacity = capacity;
    }
    uint64_t need = path->size + 1 + PN_ESCAPED_MAX * (uint64_t)entry->name_size + PN_ESCAPED_SLACK;
    if (need > path->capacity) {
        uint8_t *grown = need <= SIZE_MAX / 2 ? realloc(path->data, (size_t)(2 * need)) : NULL;
        if (grown == NULL)
            return refuse_memory(failure, entry);
        path->data = grown;
        path->capacity = 2 * need;
    }
    if (depth != 0) {
        uint8_t *end = path->data + path->size;
        *end++ = '/';
        end = pn_put_escaped(end, entry->name, entry->name_size, escape);
        path->size = (uint64_t)(end - path->data);
    }
    path->lengths[depth] = path->size;
    return 0;
}

void pn_path_free(struct pn_path *path)
{
    free(path->data);
    free(path->lengths);
}
