/* SPDX-License-Identifier: MIT
 *
 * The object list: every object path once, in byte order, unescaped, a line each.
 */
#include <errno.h>
#include <stdlib.h>

#include "failure.h"
#include "print.h"
#include "sort.h"

struct object {
    const uint8_t *path;
    uint32_t size;
};

struct objects {
    const uint8_t *image;
    struct pn_failure *failure;
    struct object *items;
    uint32_t count;
    uint32_t capacity;
    uint64_t bytes; /* of all paths; what sorting may have to look at */
    uint64_t limit;
};

static int32_t collect(void *context, const uint8_t *payload, uint32_t payload_size, const uint8_t *digest)
{
    struct objects *objects = context;
    (void)digest;
    uint64_t where = (uint64_t)(payload - objects->image);
    if (memchr(payload, '\n', payload_size) != NULL)
        return pn_refuse(objects->failure, -EINVAL, where, "composefs.object-name",
                         "an object path with a line break cannot be listed");
    objects->bytes += payload_size;
    if (objects->bytes > objects->limit)
        return pn_refuse(objects->failure, -E2BIG, where, "composefs.text-size",
                         "the object paths exceed %llu bytes, far more than an honest image of this size has",
                         (unsigned long long)objects->limit);
    if (objects->count == objects->capacity) {
        uint64_t capacity = objects->capacity == 0 ? 1024 : 2 * (uint64_t)objects->capacity;
        struct object *grown = NULL;
        if (capacity < UINT32_MAX && capacity <= SIZE_MAX / sizeof *grown)
            grown = realloc(objects->items, (size_t)capacity * sizeof *grown);
        if (grown == NULL)
            return pn_refuse(objects->failure, -ENOMEM, where, "composefs.memory", "out of memory");
        objects->items = grown;
        objects->capacity = (uint32_t)capacity;
    }
    objects->items[objects->count++] = (struct object){payload, payload_size};
    return 0;
}

static int compare(const void *context, const struct pn_sort_item *left, const struct pn_sort_item *right)
{
    const struct object *items = context;
    const struct object *a = &items[left->id], *b = &items[right->id];
    return a->path == b->path ? 0 : pn_bytes_compare(a->path, a->size, b->path, b->size);
}

static int32_t write_sorted(const struct objects *objects, struct pn_sort_item *order, struct pn_text *text)
{
    for (uint32_t i = 0; i < objects->count; i++) {
        order[i].key = pn_sort_key(objects->items[i].path, objects->items[i].size);
        order[i].id = i;
        order[i].extra = 0;
    }
    pn_sort(order, order + objects->count, objects->count, compare, objects->items);
    int32_t error = 0;
    uint8_t *out = pn_text_room(text, objects->bytes + objects->count, 0, &error);
    if (out == NULL)
        return error;
    for (uint32_t i = 0; i < objects->count; i++) {
        const struct object *object = &objects->items[order[i].id];
        if (i != 0 && order[i - 1].key == order[i].key && compare(objects->items, &order[i - 1], &order[i]) == 0)
            continue;
        memcpy(out, object->path, object->size);
        out += object->size;
        *out++ = '\n';
    }
    pn_text_commit(text, out);
    return 0;
}

int32_t pn_print_objects(struct pn_view *view, struct pn_text *text)
{
    struct objects objects = {.image = view->reader.image, .failure = text->failure, .limit = text->limit};
    int32_t status = pn_view_each_object(view, collect, &objects);
    if (status == 0 && objects.count != 0) {
        struct pn_sort_item *order = calloc((size_t)objects.count, 2 * sizeof *order);
        if (order == NULL)
            status = pn_refuse(text->failure, -ENOMEM, 0, "composefs.memory", "out of memory");
        else
            status = write_sorted(&objects, order, text);
        free(order);
    }
    free(objects.items);
    return status;
}
