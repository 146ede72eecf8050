/* SPDX-License-Identifier: MIT
 *
 * Memory runs out, at every place where it can: each case is run with its first allocation failing, then its second,
 * and so on until it needs no more. Whatever fails, the call says -ENOMEM (or does without), hands out nothing and
 * keeps nothing. Linked with --wrap for the allocating functions and free, which count what is still held.
 *
 *     alloc_check DIRECTORY DUMP...
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../csrc/composefs/dump_parse.h"

#define CHECK(condition)                                                                                        \
    do {                                                                                                        \
        if (!(condition)) {                                                                                     \
            fprintf(stderr, "alloc_check.c:%d: %s, allocation %ld: not true: %s\n", __LINE__, current, fail_at, \
                    #condition);                                                                                \
            exit(1);                                                                                            \
        }                                                                                                       \
    } while (0)

static const char *current = "";
static long fail_at = -1; /* set before threads start */
static _Atomic long asked, held;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void __wrap_free(void *memory);

static int refuse(void)
{
    return atomic_fetch_add(&asked, 1) == fail_at;
}

static void *given(void *memory)
{
    held += memory != NULL;
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : given(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : given(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (refuse())
        return NULL;
    return old ? __real_realloc(old, size) : given(__real_malloc(size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return refuse() ? NULL : given(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (refuse())
        return ENOMEM;
    int error = __real_posix_memalign(memory, alignment, size);
    held += !error;
    return error;
}

void __wrap_free(void *memory)
{
    held -= memory != NULL;
    __real_free(memory);
}

struct input {
    const uint8_t *bytes;
    uint64_t size;
    int directory, fd, small_fd, staging;
    uint32_t variant;
};

/* A case calls the library once: 0, or the error, with everything it got freed. */
typedef int32_t run_case(const struct input *input);

static void check_case(const char *name, run_case *run, const struct input *input)
{
    const long before = held;
    long failed = 0;
    current = name;
    for (fail_at = 0;; fail_at++) {
        asked = 0;
        int32_t status = run(input);
        CHECK(held == before);
        CHECK(status == 0 || (status == -ENOMEM && asked > fail_at));
        failed += status != 0;
        if (asked <= fail_at)
            break;
    }
    printf("%s: %ld allocations, %ld of them needed\n", name, fail_at, failed);
    CHECK(failed);
    fail_at = -1;
}

static int32_t given_back(int32_t status, struct pn_buffer *buffer, const struct pn_failure *failure)
{
    if (status) {
        CHECK(!buffer->data && !buffer->size);
        CHECK(strstr(failure->code, ".memory") && failure->message[0]);
    } else {
        CHECK(buffer->data && buffer->size && !failure->code[0]);
    }
    pn_buffer_free(buffer);
    return status;
}

static int32_t image_from_dump(const struct input *input)
{
    struct pn_buffer image;
    struct pn_failure failure = {0};
    return given_back(pn_composefs_image_from_dump(input->bytes, input->size, input->variant, 1, 0, &image, &failure),
                      &image, &failure);
}

static int32_t dump_from_tree(const struct input *input)
{
    struct pn_tree *tree;
    struct pn_buffer text;
    int32_t status = pn_tree_from_dump(input->bytes, input->size, 0, &tree, NULL);
    if (status)
        return status;
    status = pn_tree_to_dump(tree, &text);
    pn_tree_free(tree);
    CHECK(!status == (text.data != NULL));
    pn_buffer_free(&text);
    return status;
}

static int32_t text_from_image(const struct input *input)
{
    struct pn_buffer text;
    struct pn_failure failure = {0};
    const char *filters = input->variant == 3 ? "a\0b\0usr\0" : NULL;
    return given_back(
        pn_composefs_text_from_image(input->bytes, input->size, input->variant % 3, filters, &text, &failure), &text,
        &failure);
}

static int32_t from_directory(const struct input *input)
{
    struct pn_buffer result;
    struct pn_failure failure;
    return given_back(pn_composefs_from_directory(input->directory, input->variant & 1, 16, input->variant & 2 ? 3 : 1,
                                                  0, 1, input->staging, input->staging, NULL, &result, &failure),
                      &result, &failure);
}

static int32_t digest(const struct input *input)
{
    uint8_t digest[64];
    const uint8_t *data = input->variant & 1 ? input->bytes : NULL;
    return pn_verity_digest(1 + (input->variant >> 1 & 1), 1024, NULL, 0, data, input->fd, input->size,
                            input->variant & 4 ? 2 : 1, NULL, digest);
}

static int32_t digest_of_files(const struct input *input)
{
    char paths[40 * 32];
    uint8_t digests[40 * 32];
    int32_t errors[40], worst = 0;
    size_t at = 0;
    for (int i = 0; i < 40; i++)
        at += (size_t)snprintf(paths + at, 32, "/proc/self/fd/%d", i == 20 ? input->fd : input->small_fd) + 1;
    int32_t status = pn_verity_files(1, 4096, NULL, 0, (const uint8_t *)paths, 40, 2, digests, errors);
    for (int i = 0; !status && i < 40; i++)
        worst = errors[i] < worst ? errors[i] : worst;
    return status ? status : worst;
}

/* Goes on after an error, as a careless caller would: nothing may come of it. */
static int32_t stream(const struct input *input)
{
    struct pn_verity_stream *stream;
    uint8_t digest[64];
    int32_t first = pn_verity_stream_new(2, 1024, NULL, 0, &stream);
    if (first)
        return first;
    for (uint64_t at = 0; at < input->size; at += 777) {
        int32_t status =
            pn_verity_stream_update(stream, input->bytes + at, input->size - at < 777 ? input->size - at : 777);
        CHECK(!first || status == first);
        first = status;
    }
    int32_t status = pn_verity_stream_finish(stream, digest);
    CHECK(!first || status == first);
    pn_verity_stream_free(stream);
    return status;
}

static void check_dump(const char *path)
{
    struct stat status;
    struct input input = {0};
    struct pn_buffer image;
    struct pn_failure failure = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fstat(fd, &status) == 0);
    input.size = (uint64_t)status.st_size;
    input.bytes = mmap(NULL, input.size, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(input.bytes != MAP_FAILED);
    for (input.variant = 0; input.variant < 2; input.variant++)
        check_case("image from dump", image_from_dump, &input);
    check_case("dump from tree", dump_from_tree, &input);
    CHECK(pn_composefs_image_from_dump(input.bytes, input.size, 1, 1, 0, &image, &failure) == 0);
    struct input whole = {.bytes = image.data, .size = image.size};
    for (whole.variant = 0; whole.variant < 4; whole.variant++)
        check_case("text from image", text_from_image, &whole);
    pn_buffer_free(&image);
    munmap((void *)(uintptr_t)input.bytes, input.size);
    close(fd);
}

int main(int argc, char **argv)
{
    enum { SIZE = (2 << 20) + 4321 };
    struct input input = {.fd = memfd_create("content", MFD_CLOEXEC), .small_fd = memfd_create("small", MFD_CLOEXEC)};
    uint8_t *content = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(argc > 2 && input.fd >= 0 && content != MAP_FAILED);
    for (uint64_t i = 0; i < SIZE; i++)
        content[i] = (uint8_t)(i * 13 + i / 255);
    CHECK(write(input.fd, content, SIZE) == SIZE && write(input.small_fd, content, 5000) == 5000);
    input.bytes = content;
    for (int i = 2; i < argc; i++)
        check_dump(argv[i]);
    for (input.variant = 0; input.variant < 8; input.variant++) {
        input.size = input.variant & 4 ? SIZE : 100000; /* the larger one is what several threads are started for */
        check_case("digest", digest, &input);
    }
    check_case("digest of files", digest_of_files, &input);
    input.size = 100000;
    check_case("stream", stream, &input);
    input.directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(input.directory >= 0);
    for (input.variant = 0; input.variant < 4; input.variant++) {
        input.staging = -1;
        check_case("from directory", from_directory, &input);
    }
    close(input.directory);
    close(input.fd);
    close(input.small_fd);
    munmap(content, SIZE);
    return 0;
}
