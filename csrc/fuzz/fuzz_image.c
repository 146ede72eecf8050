/* SPDX-License-Identifier: MIT
 *
 * The image reader on arbitrary bytes. Beyond "no crash", what must hold for every input is written down here:
 *
 * - a refusal has a code and leaves no text behind;
 * - the three texts agree on whether the image is good, save for what only one of them can refuse;
 * - a dump is visible ASCII, spaces and line ends, each line has at least its eleven fields, the first is the root's;
 * - the listing has one line less than the dump (the root's);
 * - objects ascend strictly, and there are some exactly if the listing names some;
 * - a filter never adds anything.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../include/powernode.h"

#define DUMP 0u
#define LS 1u
#define OBJECTS 2u
#define FIELDS 11u

/* Not assert(): the harness must notice in any build. */
#define REQUIRE(condition)    \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

struct outcome {
    int32_t status;
    struct pn_buffer text;
    struct pn_failure failure;
};

static struct outcome text_of(const uint8_t *image, uint64_t size, uint32_t what, const char *filters)
{
    struct outcome outcome;
    memset(&outcome, 0, sizeof outcome);
    outcome.status = pn_composefs_text_from_image(image, size, what, filters, &outcome.text, &outcome.failure);
    if (outcome.status != 0) {
        REQUIRE(outcome.status < 0);
        REQUIRE(outcome.text.data == NULL && outcome.text.size == 0);
        REQUIRE(strchr(outcome.failure.code, '.') != NULL);
        REQUIRE(outcome.failure.message[0] != '\0');
        REQUIRE(outcome.failure.where <= size);
    }
    return outcome;
}

static int is_own_refusal(const struct outcome *outcome)
{
    return strcmp(outcome->failure.code, "composefs.text-size") == 0 ||
           strcmp(outcome->failure.code, "composefs.object-name") == 0;
}

static void require_agreement(const struct outcome *left, const struct outcome *right)
{
    if (is_own_refusal(left) || is_own_refusal(right))
        return;
    REQUIRE(left->status == right->status);
    REQUIRE(strcmp(left->failure.code, right->failure.code) == 0);
    REQUIRE(left->failure.where == right->failure.where);
}

static uint64_t count_lines(const struct pn_buffer *text)
{
    uint64_t lines = 0;
    for (uint64_t i = 0; i < text->size; i++)
        lines += text->data[i] == '\n';
    REQUIRE(text->size == 0 || text->data[text->size - 1] == '\n');
    return lines;
}

static uint64_t check_dump(const struct pn_buffer *text)
{
    uint64_t spaces = 0;
    REQUIRE(text->size > 2 && memcmp(text->data, "/ ", 2) == 0);
    for (uint64_t i = 0; i < text->size; i++) {
        uint8_t c = text->data[i];
        REQUIRE(c == '\n' || (c >= ' ' && c < 0x7f));
        spaces += c == ' ';
        if (c == '\n') {
            REQUIRE(spaces + 1 >= FIELDS);
            REQUIRE(i + 1 == text->size || text->data[i + 1] == '/');
            spaces = 0;
        }
    }
    return count_lines(text);
}

static int names_objects(const struct pn_buffer *ls)
{
    for (uint64_t i = 0; i + 3 < ls->size; i++)
        if (memcmp(ls->data + i, "\t@ ", 3) == 0)
            return 1;
    return 0;
}

static void check_objects(const struct pn_buffer *text)
{
    if (text->size == 0)
        return;
    const uint8_t *line = text->data, *end = text->data + text->size, *before = NULL;
    uint64_t before_size = 0;
    while (line < end) {
        const uint8_t *stop = memchr(line, '\n', (size_t)(end - line));
        REQUIRE(stop != NULL && stop != line);
        uint64_t size = (uint64_t)(stop - line);
        if (before != NULL) {
            int order = memcmp(before, line, (size_t)(size < before_size ? size : before_size));
            REQUIRE(order < 0 || (order == 0 && before_size < size));
        }
        before = line;
        before_size = size;
        line = stop + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char filters[] = "a\0whiteout\0inline\0";
    struct outcome dump = text_of(data, size, DUMP, NULL);
    struct outcome ls = text_of(data, size, LS, NULL);
    struct outcome objects = text_of(data, size, OBJECTS, NULL);
    struct outcome filtered = text_of(data, size, LS, filters);
    require_agreement(&dump, &ls);
    require_agreement(&dump, &objects);
    uint64_t lines = dump.status == 0 ? check_dump(&dump.text) : 0;
    uint64_t listed = ls.status == 0 ? count_lines(&ls.text) : 0;
    if (dump.status == 0 && ls.status == 0)
        REQUIRE(lines == listed + 1);
    if (objects.status == 0)
        check_objects(&objects.text);
    if (objects.status == 0 && ls.status == 0)
        REQUIRE((objects.text.size != 0) == names_objects(&ls.text));
    if (ls.status == 0) {
        REQUIRE(filtered.status == 0);
        REQUIRE(count_lines(&filtered.text) <= listed);
    }
    free(dump.text.data);
    free(ls.text.data);
    free(objects.text.data);
    free(filtered.text.data);
    return 0;
}
