/* SPDX-License-Identifier: MIT
 *
 * The scan of a directory under trying circumstances; run with sanitizers, for which this is written. MODE is one of
 *
 *     threads   1 to 8 threads, with a store and without, give the same image, and with openat2 and without it
 *     large     the same with two threads only: files so large that all threads together hash them
 *     starved   every thread that cannot be started, and every descriptor that cannot be had: the image or an error
 *     cancelled the caller changes its mind at any moment: the image or -ECANCELED
 *     churn     somebody changes the tree meanwhile and points links at OUTSIDE: nothing from there may be in the dump
 *
 * After every call as many descriptors are open as before. Linked with --wrap for `syscall` and `pthread_create`.
 *
 *     scan_check MODE DIRECTORY OUTSIDE SCRATCH
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../csrc/include/powernode.h"

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "scan_check.c:%d: not true: %s\n", __LINE__, #condition); \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

enum { IMAGE = 0, DUMP = 1, HARDLINKS = 16, CHURN_SCANS = 40, CANCEL_SCANS = 40 };

static const char SECRET[] = "only-outside"; /* content and names of what lies outside */

static _Atomic int without_openat2;
static const char *swap_before_opening; /* NULL, or where the link leads */
static int swap_at = -1;
static _Atomic long threads_left = -1; /* how many may still be started; negative: any number */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/* The directory that was listed a moment ago is now a link to the outside, which has a directory of that name too. */
static void swap_for_link(void)
{
    CHECK(renameat(swap_at, "churn", swap_at, "aside") == 0);
    CHECK(symlinkat(swap_before_opening, swap_at, "churn") == 0);
}

static void swap_back(void)
{
    CHECK(unlinkat(swap_at, "churn", 0) == 0);
    CHECK(renameat(swap_at, "aside", swap_at, "churn") == 0);
}

long __wrap_syscall(long number, ...)
{
    long a[4];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_openat2 && swap_before_opening && strcmp((const char *)a[1], "churn/below") == 0)
        swap_for_link();
    if (number == SYS_openat2 && without_openat2) {
        errno = without_openat2;
        return -1;
    }
    return __real_syscall(number, a[0], a[1], a[2], a[3]);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    if (threads_left == 0)
        return EAGAIN;
    if (threads_left > 0)
        threads_left--;
    return __real_pthread_create(thread, attributes, start, argument);
}

struct scan {
    const char *directory;
    uint32_t what, threads;
    int store, staging;
    uint64_t progress[3];
    struct pn_buffer result;
    struct pn_failure failure;
};

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *list = opendir("/proc/self/fd");
    CHECK(list);
    while (readdir(list))
        count++;
    closedir(list);
    return count;
}

static int open_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static int32_t call(struct scan *scan, int directory)
{
    memset(&scan->failure, 0x55, sizeof(scan->failure));
    int32_t status = pn_composefs_from_directory(directory, scan->what, HARDLINKS, scan->threads, 0, 1, scan->store,
                                                 scan->staging, scan->progress, &scan->result, &scan->failure);
    if (status) {
        CHECK(status < 0 && !scan->result.data && !scan->result.size);
        CHECK(strncmp(scan->failure.code, "composefs.", 10) == 0 || strncmp(scan->failure.code, "dump.", 5) == 0);
        CHECK(strlen(scan->failure.message) > 3);
    } else {
        CHECK(scan->result.data && scan->result.size && !scan->failure.code[0]);
    }
    return status;
}

static int32_t run(struct scan *scan)
{
    unsigned before = open_descriptors();
    int directory = open_folder(scan->directory);
    int32_t status = call(scan, directory);
    close(directory);
    CHECK(open_descriptors() == before);
    return status;
}

static void require_same(const struct scan *scan, const struct scan *reference)
{
    CHECK(scan->result.size == reference->result.size);
    CHECK(memcmp(scan->result.data, reference->result.data, (size_t)reference->result.size) == 0);
}

/* A fresh directory in SCRATCH to stage objects in. */
static int staging_folder(const char *scratch)
{
    static unsigned number;
    char path[4096];
    snprintf(path, sizeof(path), "%s/staging-%u", scratch, number++);
    CHECK(mkdir(path, 0755) == 0);
    return open_folder(path);
}

/* How many names of this length are in a directory, which must have no others: no temporary one is left. */
static unsigned entries_of(int folder, size_t length, int (*each)(int folder, const char *name))
{
    unsigned count = 0;
    DIR *list = fdopendir(dup(folder));
    CHECK(list);
    for (const struct dirent *entry; (entry = readdir(list));)
        if (entry->d_name[0] != '.') {
            CHECK(strlen(entry->d_name) == length);
            count += each ? (unsigned)each(folder, entry->d_name) : 1;
        }
    closedir(list);
    return count;
}

static int objects_in(int staging, const char *name)
{
    int folder = openat(staging, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    CHECK(folder >= 0);
    unsigned count = entries_of(folder, 62, NULL);
    CHECK(count); /* a folder is made for an object */
    close(folder);
    return (int)count;
}

static unsigned staged(int staging)
{
    return entries_of(staging, 2, objects_in);
}

static struct scan reference_scan(const char *directory, uint32_t what)
{
    struct scan scan = {.directory = directory, .what = what, .threads = 1, .store = -1, .staging = -1};
    CHECK(run(&scan) == 0);
    return scan;
}

static void check_threads(const char *directory, const char *scratch, uint32_t most)
{
    int store = open_folder(scratch);
    unsigned objects = 0;
    for (uint32_t what = IMAGE; what <= DUMP; what++) {
        struct scan reference = reference_scan(directory, what);
        for (uint32_t threads = 1; threads <= most; threads++) {
            struct scan scan = {.directory = directory, .what = what, .threads = threads, .store = store};
            without_openat2 = threads & 1 ? 0 : threads & 2 ? ENOSYS : EPERM;
            scan.staging = staging_folder(scratch);
            CHECK(run(&scan) == 0);
            require_same(&scan, &reference);
            CHECK(scan.progress[0] == reference.progress[0] && scan.progress[1] == reference.progress[1]);
            unsigned found = staged(scan.staging);
            CHECK(found && (!objects || found == objects));
            objects = found;
            close(scan.staging);
            pn_buffer_free(&scan.result);
        }
        pn_buffer_free(&reference.result);
    }
    struct scan scan = {.directory = directory, .what = 2, .threads = 1, .store = -1, .staging = -1};
    CHECK(run(&scan) == -EINVAL);
    scan.what = IMAGE;
    CHECK(call(&scan, -1) == -EBADF);
    CHECK(pn_composefs_from_directory(-1, IMAGE, 0, 1, 0, 1, -1, -1, NULL, &scan.result, NULL) == -EBADF);
    CHECK(pn_composefs_from_directory(store, IMAGE, 32, 1, 0, 1, -1, -1, NULL, &scan.result, &scan.failure) == -EINVAL);
    CHECK(strcmp(scan.failure.code, "composefs.flags") == 0);
    close(store);
}

static void check_starved(const char *directory)
{
    struct scan reference = reference_scan(directory, IMAGE);
    for (long allowed = 0; allowed < 4; allowed++) {
        struct scan scan = {.directory = directory, .threads = 5, .store = -1, .staging = -1};
        threads_left = allowed;
        CHECK(run(&scan) == 0);
        require_same(&scan, &reference);
        pn_buffer_free(&scan.result);
    }
    threads_left = -1;
    int directory_fd = open_folder(directory);
    unsigned before = open_descriptors(), refused = 0;
    struct rlimit limit, full;
    CHECK(getrlimit(RLIMIT_NOFILE, &full) == 0);
    for (rlim_t room = 0; room < 12; room++) {
        struct scan scan = {.directory = directory, .threads = 3, .store = -1, .staging = -1};
        limit = full;
        limit.rlim_cur = (rlim_t)directory_fd + 1 + room;
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        int32_t status = call(&scan, directory_fd);
        CHECK(setrlimit(RLIMIT_NOFILE, &full) == 0);
        CHECK(open_descriptors() == before);
        refused += status != 0;
        if (status)
            CHECK(status == -EMFILE);
        else
            require_same(&scan, &reference);
        pn_buffer_free(&scan.result);
    }
    CHECK(refused && refused < 12);
    close(directory_fd);
    pn_buffer_free(&reference.result);
}

static void nap(long microseconds)
{
    struct timespec time = {.tv_nsec = microseconds * 1000};
    nanosleep(&time, NULL);
}

struct change_of_mind {
    struct scan *scan;
    long after; /* microseconds */
};

static void *cancel_later(void *argument)
{
    const struct change_of_mind *change = argument;
    nap(change->after);
    __atomic_store_n(&change->scan->progress[2], 1, __ATOMIC_RELAXED);
    return NULL;
}

static void check_cancelled(const char *directory)
{
    unsigned cancelled = 0;
    for (long i = 0; i < CANCEL_SCANS; i++) {
        struct scan scan = {.directory = directory, .threads = 1 + (uint32_t)i % 4, .store = -1, .staging = -1};
        struct change_of_mind change = {.scan = &scan, .after = i * 200};
        pthread_t other;
        CHECK(pthread_create(&other, NULL, cancel_later, &change) == 0);
        int32_t status = run(&scan);
        pthread_join(other, NULL);
        CHECK(status == 0 || status == -ECANCELED);
        cancelled += status != 0;
        pn_buffer_free(&scan.result);
    }
    struct scan scan = {.directory = directory, .threads = 2, .store = -1, .staging = -1, .progress = {0, 0, 1}};
    CHECK(run(&scan) == -ECANCELED && strcmp(scan.failure.code, "composefs.cancelled") == 0);
    CHECK(cancelled);
}

struct churn {
    const char *directory, *outside;
    _Atomic int over;
};

/* Directories become links to the outside and back, files shrink, grow, vanish and become links. */
static void *change_things(void *argument)
{
    struct churn *churn = argument;
    char link[4096];
    int at = open_folder(churn->directory), fd;
    snprintf(link, sizeof(link), "%s", churn->outside);
    for (unsigned turn = 0; !churn->over; turn++) {
        CHECK(renameat(at, "churn", at, "aside") == 0);
        CHECK(symlinkat(link, at, "churn") == 0);
        nap(turn % 200);
        CHECK(unlinkat(at, "churn", 0) == 0);
        CHECK(renameat(at, "aside", at, "churn") == 0);
        fd = openat(at, "churn/file", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        CHECK(fd >= 0 && ftruncate(fd, turn % 7 * 30000) == 0);
        close(fd);
        nap(turn % 300);
        CHECK(unlinkat(at, "churn/file", 0) == 0);
        CHECK(symlinkat(link, at, "churn/file") == 0);
        nap(turn % 100);
        CHECK(unlinkat(at, "churn/file", 0) == 0);
        nap(turn % 400);
    }
    close(at);
    return NULL;
}

/* At the worst moment, rather than by chance. */
static void check_swapped(const char *directory, const char *outside)
{
    static const int errors[] = {0, ENOSYS, EPERM};
    for (unsigned i = 0; i < 3; i++) {
        struct scan scan = {.directory = directory, .what = DUMP, .threads = 1, .store = -1, .staging = -1};
        without_openat2 = errors[i];
        swap_at = open_folder(directory);
        swap_before_opening = outside;
        int32_t status = run(&scan);
        swap_before_opening = NULL;
        swap_back();
        close(swap_at);
        CHECK(status == -ELOOP || status == -ENOTDIR);
        CHECK(strcmp(scan.failure.code, "composefs.changed") == 0);
    }
    without_openat2 = 0;
}

static void check_churn(const char *directory, const char *outside, const char *scratch)
{
    struct churn churn = {.directory = directory, .outside = outside};
    pthread_t other;
    unsigned whole = 0;
    int store = open_folder(scratch);
    int directory_fd = open_folder(directory);
    /* The text that must be found if the check is to mean anything. */
    struct scan leak = {.directory = outside, .what = DUMP, .threads = 1, .store = -1, .staging = -1};
    CHECK(run(&leak) == 0);
    CHECK(memmem(leak.result.data, (size_t)leak.result.size, SECRET, strlen(SECRET)));
    pn_buffer_free(&leak.result);

    check_swapped(directory, outside);
    CHECK(pthread_create(&other, NULL, change_things, &churn) == 0);
    for (unsigned i = 0; i < CHURN_SCANS; i++) {
        struct scan scan = {.directory = directory, .what = DUMP, .threads = 1 + i % 3, .store = store};
        without_openat2 = i & 1 ? ENOSYS : 0;
        scan.staging = staging_folder(scratch);
        int32_t status = call(&scan, directory_fd);
        if (status == 0) {
            staged(scan.staging);
            whole++;
            CHECK(!memmem(scan.result.data, (size_t)scan.result.size, SECRET, strlen(SECRET)));
        }
        close(scan.staging);
        pn_buffer_free(&scan.result);
    }
    churn.over = 1;
    pthread_join(other, NULL);
    close(directory_fd);
    close(store);
    fprintf(stderr, "%u of %d scans of a changing tree were whole\n", whole, CHURN_SCANS);
}

int main(int argc, char **argv)
{
    CHECK(argc == 5);
    if (strcmp(argv[1], "threads") == 0)
        check_threads(argv[2], argv[4], 8);
    else if (strcmp(argv[1], "large") == 0)
        check_threads(argv[2], argv[4], 2);
    else if (strcmp(argv[1], "starved") == 0)
        check_starved(argv[2]);
    else if (strcmp(argv[1], "cancelled") == 0)
        check_cancelled(argv[2]);
    else if (strcmp(argv[1], "churn") == 0)
        check_churn(argv[2], argv[3], argv[4]);
    else
        return 2;
    return 0;
}
