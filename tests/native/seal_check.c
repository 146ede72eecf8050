/* SPDX-License-Identifier: MIT
 *
 * pn_linux_seal against a simulated fs-verity; run with sanitizers, for which this is written. The simulation stands
 * behind `ioctl`: a file's digest is its content, and what is written in FAULTS goes wrong. The real kernel is met in
 * tests/vm. Linked with --wrap for `ioctl`, `pthread_create` and `calloc`.
 *
 *     seal_check EMPTY-DIRECTORY
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../csrc/include/powernode.h"
#include "../../csrc/verity/digest.h"

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "seal_check.c:%d: not true: %s\n", __LINE__, #condition); \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

enum { FILES = 64, DIGEST = 32, MEASURE_ONLY = 1 };
enum { DONE, BYTES, STOP };

static struct {
    ino_t inode;
    _Atomic int sealed, enabled; /* now, and how often */
    int fault;                   /* what enabling says, or 0 */
} simulated[FILES];

static int directory;
static char names[FILES * 8];
static uint8_t digests[FILES * DIGEST];
static int32_t errors[FILES];
static uint64_t progress[3];
static _Atomic int threads_refused, memory_refused, odd_digest, cancel_at = -1, enabled_in_all;

int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

unsigned pn_thread_count(unsigned asked)
{
    return asked ? asked : 2;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    return threads_refused ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return memory_refused ? NULL : __real_calloc(count, size);
}

static int fail(int number)
{
    errno = number;
    return -1;
}

static int file_of(int fd)
{
    struct stat st;
    CHECK(fstat(fd, &st) == 0);
    for (int i = 0; i < FILES; i++)
        if (simulated[i].inode == st.st_ino)
            return i;
    CHECK(!"a file of ours");
    return -1;
}

static int enable(int file, const struct fsverity_enable_arg *argument)
{
    static const struct fsverity_enable_arg expected = {.version = 1, .hash_algorithm = 1, .block_size = 4096};
    CHECK(memcmp(argument, &expected, sizeof(expected)) == 0);
    simulated[file].enabled++;
    if (++enabled_in_all == cancel_at)
        __atomic_store_n(&progress[STOP], 1, __ATOMIC_RELAXED);
    if (simulated[file].fault == EEXIST) /* somebody else was faster */
        simulated[file].sealed = 1;
    if (simulated[file].fault)
        return fail(simulated[file].fault);
    CHECK(!simulated[file].sealed);
    simulated[file].sealed = 1;
    return 0;
}

static int measure(int file, int fd, struct fsverity_digest *answer)
{
    uint8_t *digest = (uint8_t *)answer + sizeof(*answer);
    CHECK(answer->digest_size == 64);
    if (!simulated[file].sealed)
        return fail(ENODATA);
    answer->digest_algorithm = odd_digest == file ? 2 : 1;
    answer->digest_size = odd_digest == file ? 64 : DIGEST;
    memset(digest, 0, answer->digest_size);
    CHECK(pread(fd, digest, DIGEST, 0) == DIGEST);
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
    int file = file_of(fd);
    return request == FS_IOC_ENABLE_VERITY ? enable(file, argument) : measure(file, fd, argument);
}

static int open_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(list))
        count++;
    closedir(list);
    return count;
}

/* Every file is there, unsealed, and without faults. */
static void begin(void)
{
    char *name = names;
    for (int i = 0; i < FILES; i++) {
        struct stat st;
        name += sprintf(name, "f%d", i) + 1;
        char path[16];
        sprintf(path, "f%d", i);
        unlinkat(directory, path, 0);
        unlinkat(directory, path, AT_REMOVEDIR);
        memset(digests + i * DIGEST, i + 1, DIGEST);
        int fd = openat(directory, path, O_CREAT | O_EXCL | O_WRONLY, 0644);
        CHECK(fd >= 0 && write(fd, digests + i * DIGEST, DIGEST) == DIGEST && fstat(fd, &st) == 0);
        close(fd);
        simulated[i].inode = st.st_ino;
        simulated[i].sealed = simulated[i].enabled = simulated[i].fault = 0;
    }
    memset(progress, 0, sizeof(progress));
    memset(errors, 0x55, sizeof(errors));
    odd_digest = cancel_at = -1;
    enabled_in_all = 0;
}

static void seal(uint32_t flags, uint32_t threads)
{
    int before = open_descriptors();
    CHECK(pn_linux_seal(directory, (const uint8_t *)names, digests, FILES, flags, threads, progress, errors) == 0);
    CHECK(open_descriptors() == before);
}

static int how_many(int error)
{
    int count = 0;
    for (int i = 0; i < FILES; i++)
        count += errors[i] == error;
    return count;
}

static void check_all_good(void)
{
    CHECK(how_many(0) == FILES);
    CHECK(progress[DONE] == FILES && progress[BYTES] == FILES * DIGEST && progress[STOP] == 0);
}

static void fresh_and_again(uint32_t threads)
{
    begin();
    seal(MEASURE_ONLY, threads);
    CHECK(how_many(-ENODATA) == FILES && enabled_in_all == 0);
    memset(progress, 0, sizeof(progress));
    seal(0, threads);
    check_all_good();
    CHECK(enabled_in_all == FILES);
    for (uint32_t flags = 0; flags <= MEASURE_ONLY; flags++) {
        memset(progress, 0, sizeof(progress));
        seal(flags, threads);
        check_all_good();
        CHECK(enabled_in_all == FILES);
    }
    for (int i = 0; i < FILES; i++)
        CHECK(simulated[i].enabled == 1);
    CHECK(pn_linux_seal(directory, (const uint8_t *)names, digests, FILES, 0, threads, NULL, errors) == 0);
}

static void every_defect(uint32_t threads)
{
    begin();
    CHECK(unlinkat(directory, "f0", 0) == 0);
    CHECK(unlinkat(directory, "f1", 0) == 0 && symlinkat("f2", directory, "f1") == 0);
    CHECK(unlinkat(directory, "f3", 0) == 0 && mkfifoat(directory, "f3", 0644) == 0);
    CHECK(unlinkat(directory, "f4", 0) == 0 && mkdirat(directory, "f4", 0755) == 0);
    digests[5 * DIGEST + 31] ^= 1;
    digests[6 * DIGEST] ^= 0x80;
    odd_digest = 7;
    simulated[8].fault = ETXTBSY;
    simulated[9].fault = EEXIST;
    simulated[10].fault = EIO;
    simulated[11].fault = EOPNOTSUPP;
    simulated[12].fault = EBUSY;
    seal(0, threads);
    CHECK(errors[0] == -ENOENT && errors[1] == -ELOOP && errors[3] == -EINVAL && errors[4] == -EINVAL);
    CHECK(errors[5] == -EBADMSG && errors[6] == -EBADMSG && errors[7] == -EBADMSG);
    CHECK(errors[8] == -ETXTBSY && errors[9] == 0 && errors[10] == -EIO && errors[11] == -EOPNOTSUPP);
    CHECK(errors[12] == -EBUSY && how_many(0) == FILES - 11);
    CHECK(progress[DONE] == FILES && progress[BYTES] == (FILES - 4) * DIGEST && progress[STOP] == 0);
    CHECK(unlinkat(directory, "f4", AT_REMOVEDIR) == 0);
}

static void full_disk(uint32_t threads, int number)
{
    begin();
    simulated[20].fault = number;
    seal(0, threads);
    CHECK(errors[20] == -number && how_many(-number) == 1 && progress[STOP] == 1);
    /* The other threads finish what they have in hand. */
    CHECK(how_many(0) + how_many(-ECANCELED) == FILES - 1 && progress[DONE] == (uint64_t)how_many(0) + 1);
    CHECK(threads > 1 || (how_many(0) == 20 && errors[21] == -ECANCELED));
}

static void cancelled(uint32_t threads)
{
    begin();
    progress[STOP] = 1;
    seal(0, threads);
    CHECK(how_many(-ECANCELED) == FILES && enabled_in_all == 0 && progress[DONE] == 0);
    begin();
    cancel_at = 10;
    seal(0, threads);
    CHECK(how_many(0) + how_many(-ECANCELED) == FILES && progress[DONE] == (uint64_t)how_many(0));
    CHECK(how_many(0) >= 10 && (threads > 1 || how_many(0) == 10));
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    directory = open(argv[1], O_RDONLY | O_DIRECTORY);
    CHECK(directory >= 0);
    for (uint32_t threads = 0; threads <= 8; threads++) {
        fresh_and_again(threads);
        every_defect(threads);
        /* 0 asks for one thread per processor, which is 2 here: only 1 is exact about when it stops. */
        full_disk(threads ? threads : 2, ENOSPC);
        full_disk(threads ? threads : 2, EDQUOT);
        cancelled(threads ? threads : 2);
    }
    threads_refused = 1;
    fresh_and_again(4);
    memory_refused = 1;
    CHECK(pn_linux_seal(directory, (const uint8_t *)names, digests, FILES, 0, 1, NULL, errors) == -ENOMEM);
    CHECK(pn_linux_seal(directory, NULL, NULL, 0, 0, 1, NULL, NULL) == 0);
    CHECK(pn_linux_seal(directory, (const uint8_t *)names, digests, FILES, 2, 1, NULL, errors) == -EINVAL);
    return 0;
}
