/* SPDX-License-Identifier: MIT
 *
 * The layer of an arbitrary image, with a store that has no objects. What must hold for every input:
 *
 * - an image that has no dump has no layer;
 * - a refusal has a code; one that needs objects fails for want of them, or was refused before;
 * - a layer is a whole number of tar blocks, its tables lie behind each other and end where the footer begins;
 * - one thread or three make no difference.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../include/powernode.h"

enum { FOOTER = 72, HEAD = 8 };

/* Not assert(): the harness must notice in any build. */
#define REQUIRE(condition)    \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

static int32_t write_layer(const uint8_t *image, uint64_t size, uint32_t threads, struct pn_layer *layer,
                           struct pn_failure *failure)
{
    int out = open("/dev/null", O_WRONLY | O_CLOEXEC), objects = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(out >= 0 && objects >= 0);
    memset(failure, 0, sizeof(*failure));
    int32_t status = pn_layer_write(image, size, objects, out, 1, threads, NULL, layer, failure);
    close(out);
    close(objects);
    REQUIRE(status <= 0);
    return status;
}

static void check_layer(const struct pn_layer *layer)
{
    REQUIRE(layer->archive_size >= 3 * 512 && layer->archive_size % 512 == 0);
    REQUIRE(layer->toc_offset > HEAD && layer->toc_size > 0 && layer->toc_text_size > 0);
    REQUIRE(layer->split_offset == layer->toc_offset + layer->toc_size + HEAD);
    REQUIRE(layer->blob_size == layer->split_offset + layer->split_size + FOOTER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pn_layer one, three;
    struct pn_failure failure, again;
    struct pn_buffer dump;
    int32_t printed = pn_composefs_text_from_image(data, size, 0, NULL, &dump, &again);
    int32_t status = write_layer(data, size, 1, &one, &failure);
    REQUIRE(write_layer(data, size, 3, &three, &again) == status);
    REQUIRE(strcmp(failure.code, again.code) == 0);
    if (status == 0) {
        REQUIRE(printed == 0 || printed == -E2BIG); /* the text may be too long to print */
        REQUIRE(memcmp(&one, &three, sizeof(one)) == 0);
        check_layer(&one);
    } else {
        REQUIRE(strchr(failure.code, '.') != NULL && failure.message[0] != '\0');
        REQUIRE(failure.where <= size);
        REQUIRE(status != -ENOENT || strcmp(failure.code, "module.layer.object") == 0);
    }
    pn_buffer_free(&dump);
    return 0;
}
