/* SPDX-License-Identifier: MIT
 *
 * pn_layer_write and the zstd decoder; run with sanitizers, for which this is written. What the bytes must be is tested
 * in Python (tests/unit/module/test_layer.py); here: any number of threads gives the same ones, also if no thread can
 * be started; memory that runs out at any point, a full disk and a cancelled run leave nothing behind; the decoder with
 * buffers of every awkward size. Linked with --wrap for `malloc`, `calloc`, `realloc` and `pthread_create`.
 *
 *     layer_check IMAGE OBJECTS OUT
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../csrc/include/powernode.h"
#include "../../csrc/verity/digest.h"

#define CHECK(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "layer_check.c:%d: not true: %s\n", __LINE__, #condition); \
            exit(1);                                                                   \
        }                                                                              \
    } while (0)

static _Atomic long allocations_left = -1; /* negative: no limit */
static _Atomic int threads_refused, memory_refused;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static int refused(void)
{
    if (atomic_load(&allocations_left) < 0)
        return 0;
    if (atomic_fetch_sub(&allocations_left, 1) > 0)
        return 0;
    atomic_store(&allocations_left, 0); /* once out of memory, always */
    atomic_store(&memory_refused, 1);
    return 1;
}

void *__wrap_malloc(size_t size)
{
    return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return refused() ? NULL : __real_realloc(old, size);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    return atomic_load(&threads_refused) ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);
}

/* Instead of csrc/verity/digest.c, which would bring all kernels along. */
unsigned pn_thread_count(unsigned asked)
{
    return asked ? asked : 2;
}

int pn_read_exactly(int fd, uint8_t *buffer, uint64_t size, uint64_t offset)
{
    return pread(fd, buffer, size, (off_t)offset) == (ssize_t)size ? 0 : -ESTALE;
}

static uint8_t *image;
static uint64_t image_size;
static int objects;
static struct pn_failure failure;

static int32_t write_layer(const char *path, unsigned threads, uint64_t *progress, struct pn_layer *layer)
{
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(out >= 0);
    memset(&failure, 0, sizeof(failure));
    int32_t status = pn_layer_write(image, image_size, objects, out, 3, threads, progress, layer, &failure);
    close(out);
    CHECK(status <= 0 && (status == 0 || status == -ENOMEM || failure.code[0]));
    return status;
}

static void check_threads(const char *path)
{
    struct pn_layer first, layer;
    uint64_t progress[3] = {0};
    CHECK(write_layer(path, 1, progress, &first) == 0);
    CHECK(progress[0] > 0 && first.blob_size > 0);
    for (unsigned threads = 2; threads < 40; threads += 7) {
        CHECK(write_layer(path, threads, NULL, &layer) == 0);
        CHECK(memcmp(&layer, &first, sizeof(layer)) == 0);
    }
    threads_refused = 1;
    CHECK(write_layer(path, 4, NULL, &layer) == 0);
    CHECK(memcmp(&layer, &first, sizeof(layer)) == 0);
    threads_refused = 0;
}

static void check_faults(const char *path)
{
    struct pn_layer layer;
    uint64_t progress[3] = {0, 0, 1};
    CHECK(write_layer(path, 2, progress, &layer) == -ECANCELED);
    CHECK(write_layer("/dev/full", 2, NULL, &layer) == -ENOSPC);
    CHECK(strcmp(failure.code, "module.layer.write") == 0);
    for (uint64_t cut = 0; cut < image_size && cut < 4096; cut += 61) {
        uint8_t before = image[cut + 1024];
        image[cut + 1024] ^= 0x5a; /* refused or not, but never more than that */
        write_layer("/dev/null", 2, NULL, &layer);
        image[cut + 1024] = before;
    }
    int there = objects;
    objects = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(write_layer(path, 2, NULL, &layer) == -ENOENT);
    CHECK(strcmp(failure.code, "module.layer.object") == 0);
    close(objects);
    objects = there;
}

static void check_memory(unsigned threads)
{
    struct pn_layer layer;
    long most = 0;
    int32_t status = -1;
    for (; status != 0 && most < 100000; most += 1 + most / 16) {
        memory_refused = 0;
        allocations_left = most;
        status = write_layer("/dev/null", threads, NULL, &layer);
        allocations_left = -1;
        CHECK(status == 0 || (status == -ENOMEM && memory_refused));
    }
    CHECK(status == 0);
}

static void check_decoder(const char *path)
{
    enum { MOST = 1 << 20 };
    struct pn_layer layer;
    static const unsigned rooms[] = {1, 7, 4096, MOST}, pieces[] = {1, 100, MOST};
    CHECK(write_layer(path, 2, NULL, &layer) == 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *data = malloc(MOST), *out = malloc(MOST);
    ssize_t size = read(fd, data, MOST);
    close(fd);
    CHECK(size > 0 && (uint64_t)size == layer.blob_size);
    for (unsigned r = 0; r < sizeof(rooms) / sizeof(rooms[0]); r++)
        for (unsigned p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
            if (layer.archive_size / rooms[r] > MOST)
                continue;
            struct pn_zstd_decoder *decoder;
            uint64_t taken = 0, made = 0, counts[2];
            int32_t status = 1;
            CHECK(pn_zstd_decoder_new(27, &decoder) == 0);
            while (taken < (uint64_t)size || status == 1) {
                uint64_t left = (uint64_t)size - taken, piece = left < pieces[p] ? left : pieces[p];
                status = pn_zstd_decoder_run(decoder, data + taken, piece, out, rooms[r], counts);
                CHECK(status >= 0 && counts[0] <= piece && counts[1] <= rooms[r] && (counts[0] || counts[1]));
                taken += counts[0];
                made += counts[1];
            }
            CHECK(made == layer.archive_size);
            data[5] ^= 0xff;
            pn_zstd_decoder_free(decoder);
            CHECK(pn_zstd_decoder_new(27, &decoder) == 0);
            for (status = 1, taken = 0; status >= 0 && taken < (uint64_t)size; taken += counts[0])
                status = pn_zstd_decoder_run(decoder, data + taken, (uint64_t)size - taken, out, MOST, counts);
            CHECK(status == -EBADMSG || status >= 0);
            if (status < 0)
                CHECK(pn_zstd_decoder_run(decoder, data, 1, out, 1, counts) == -EBADMSG);
            pn_zstd_decoder_free(decoder);
            data[5] ^= 0xff;
        }
    struct pn_zstd_decoder *decoder;
    CHECK(pn_zstd_decoder_new(9, &decoder) == -EINVAL && pn_zstd_decoder_new(28, &decoder) == -EINVAL);
    pn_zstd_decoder_free(NULL);
    free(data);
    free(out);
}

int main(int count, char **arguments)
{
    CHECK(count == 4);
    int fd = open(arguments[1], O_RDONLY | O_CLOEXEC);
    image_size = (uint64_t)lseek(fd, 0, SEEK_END);
    image = malloc(image_size); /* so that a sanitizer knows where it ends */
    CHECK(fd >= 0 && pread(fd, image, image_size, 0) == (ssize_t)image_size);
    close(fd);
    objects = open(arguments[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(objects >= 0 && pn_zstd_version() > 0);
    check_threads(arguments[3]);
    check_faults(arguments[3]);
    check_memory(1);
    check_memory(3);
    check_decoder(arguments[3]);
    close(objects);
    free(image);
    return 0;
}
