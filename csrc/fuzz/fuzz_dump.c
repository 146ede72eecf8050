/* SPDX-License-Identifier: MIT
 *
 * The dump parser and the image writer on arbitrary text. Beyond "no crash", what must hold for every input:
 *
 * - a refusal has a code, a message and a line of the text, and leaves no image behind;
 * - an image is whole blocks, and building it twice gives the same bytes;
 * - what the strict parser accepts the lenient one accepts with the same image;
 * - the tree's dump text gives the same dump text again and, where nothing gets lost, the same image.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../composefs/dump_parse.h"
#include "../erofs/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): the harness must notice in any build. */
#define REQUIRE(condition)    \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

struct outcome {
    int32_t status;
    struct pn_buffer image;
    struct pn_failure failure;
};

static struct outcome build(const uint8_t *text, uint64_t size, uint32_t version, uint32_t flags)
{
    struct outcome outcome;
    memset(&outcome, 0, sizeof(outcome));
    outcome.status = pn_composefs_image_from_dump(text, size, version, 1, flags, &outcome.image, &outcome.failure);
    if (outcome.status) {
        REQUIRE(outcome.status < 0);
        REQUIRE(!outcome.image.data && !outcome.image.size);
        REQUIRE(strchr(outcome.failure.code, '.') != NULL);
        REQUIRE(outcome.failure.message[0] != '\0');
        REQUIRE(outcome.failure.where <= size + 1);
    } else {
        REQUIRE(outcome.image.data && outcome.image.size && outcome.image.size % PN_EROFS_BLOCK == 0);
    }
    return outcome;
}

static void require_same(const struct outcome *left, const struct outcome *right)
{
    REQUIRE(left->status == right->status);
    REQUIRE(left->image.size == right->image.size);
    if (left->image.size)
        REQUIRE(memcmp(left->image.data, right->image.data, (size_t)left->image.size) == 0);
}

/* Two things of a tree leave a trace in its image and none in its dump: which of several names came first, and the
 * size of a device. */
static int is_plain(const struct pn_tree *tree)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct pn_node *node = &tree->nodes[i];
        if (node->flags & PN_NODE_LINK || (node->size && !pn_node_is(node, S_IFREG) && !pn_node_is(node, S_IFLNK)))
            return 0;
    }
    return 1;
}

static int dump_of(const uint8_t *text, uint64_t size, struct pn_buffer *dump, int *plain)
{
    struct pn_tree *tree;
    struct pn_failure failure;
    if (pn_tree_from_dump(text, size, 0, &tree, &failure))
        return -1;
    int status = pn_tree_to_dump(tree, dump);
    *plain = is_plain(tree);
    pn_tree_free(tree);
    return status;
}

static void require_dump_is_faithful(const uint8_t *text, uint64_t size, const struct outcome *image)
{
    struct pn_buffer dump, again;
    int plain, ignored;
    int status = dump_of(text, size, &dump, &plain);
    REQUIRE(!status || image->status);
    if (status)
        return;
    REQUIRE(dump_of(dump.data, dump.size, &again, &ignored) == 0);
    REQUIRE(dump.size == again.size && memcmp(dump.data, again.data, (size_t)dump.size) == 0);
    if (plain) {
        struct outcome rebuilt = build(dump.data, dump.size, 0, PN_DUMP_STRICT);
        require_same(image, &rebuilt);
        pn_buffer_free(&rebuilt.image);
    }
    pn_buffer_free(&again);
    pn_buffer_free(&dump);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (uint32_t version = 0; version < 2; version++) {
        struct outcome lenient = build(data, size, version, 0);
        struct outcome again = build(data, size, version, 0);
        struct outcome strict = build(data, size, version, PN_DUMP_STRICT);
        require_same(&lenient, &again);
        if (!strict.status)
            require_same(&lenient, &strict);
        if (!version)
            require_dump_is_faithful(data, size, &lenient);
        pn_buffer_free(&lenient.image);
        pn_buffer_free(&again.image);
        pn_buffer_free(&strict.image);
    }
    return 0;
}
