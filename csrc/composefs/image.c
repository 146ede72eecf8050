/* SPDX-License-Identifier: MIT
 *
 * From a tree, or from dump text, to the bytes of its composefs image.
 */
#include "../erofs/plan.h"
#include "dump_parse.h"
#include "failure.h"

#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* Memory that free() releases; large images in huge pages, because the first touch of a page costs as much as filling
 * it does. */
static uint8_t *image_memory(size_t size)
{
    void *memory = NULL;
    if (size < 2 * HUGE_PAGE)
        return malloc(size);
    if (posix_memalign(&memory, HUGE_PAGE, size))
        return NULL;
    madvise(memory, size, MADV_HUGEPAGE);
    return memory;
}

static int write_plan(struct pn_image_plan *plan, struct pn_buffer *image)
{
    uint64_t size = pn_image_plan_size(plan);
    if (size > SIZE_MAX)
        return -ENOMEM;
    uint8_t *data = image_memory((size_t)size);
    if (!data)
        return -ENOMEM;
    pn_image_plan_emit(plan, data);
    *image = (struct pn_buffer){.data = data, .size = size, .capacity = size};
    return 0;
}

int pn_composefs_write_image(struct pn_tree *tree, uint32_t min_version, uint32_t max_version, struct pn_buffer *image,
                             struct pn_failure *failure)
{
    struct pn_image_plan plan = {.tree = tree};
    *image = (struct pn_buffer){0};
    if (failure)
        failure->code[0] = 0;
    if (min_version > 1 || max_version > 1)
        return pn_refuse(failure, -EINVAL, 0, "composefs.version", "expected versions 0 or 1, found %u to %u",
                         min_version, max_version);
    if (!tree->finished)
        return pn_refuse(failure, -EINVAL, 0, "composefs.unfinished", "expected a finished tree, found an open one");
    int error = pn_image_plan_inodes(&plan, min_version, max_version, failure);
    if (!error)
        error = pn_image_plan_sharing(&plan);
    if (!error)
        error = pn_image_plan_layout(&plan);
    if (!error)
        error = write_plan(&plan, image);
    pn_image_plan_free(&plan);
    if (error == -ENOMEM)
        pn_refuse(failure, error, 0, "composefs.memory", "expected memory for the image, found none left");
    else if (error && failure && !failure->code[0])
        pn_refuse(failure, error, 0, "composefs.limit", "expected an image within 32-bit block and inode numbers");
    return error;
}

int32_t pn_composefs_image_from_dump(const uint8_t *text, uint64_t size, uint32_t min_version, uint32_t max_version,
                                     uint32_t flags, struct pn_buffer *image, struct pn_failure *failure)
{
    struct pn_tree *tree;
    *image = (struct pn_buffer){0};
    int error = pn_tree_from_dump(text, size, flags, &tree, failure);
    if (error)
        return error;
    error = pn_composefs_write_image(tree, min_version, max_version, image, failure);
    pn_tree_free(tree);
    return error;
}
