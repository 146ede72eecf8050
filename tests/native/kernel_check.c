/* SPDX-License-Identifier: MIT
 *
 * Checks every hash kernel this CPU can run against the portable one, over message counts, body lengths, alignments and
 * start states. Every message ends where an unreadable page begins, begins right after one when its length is a whole
 * number of pages, and differs from all others; so does the place for the digests.
 *
 * Prints one line per kernel: "ok NAME N digests", "lacks NAME" (the CPU cannot run it, or a mask says so), or "WRONG
 * NAME
 * ..." and stops with status 1. "answer NAME HEX" lines give the portable kernels' digest of a message whose byte i is
 * (i * 31 + i / 256) mod 256, 4096 bytes, for a comparison with somebody else's SHA-2.
 */
#define _GNU_SOURCE
#include "cpu.h"
#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LANES_MAX = 16, GROUPS_MAX = 5, MESSAGES_MAX = LANES_MAX * GROUPS_MAX, SALTS = 2 };

static const uint32_t bodies[] = {4, 16, 64, 1024};
static const size_t counts[] = {1, 2, GROUPS_MAX};
static const size_t shifts[] = {0, 1, 4, 15, 31, 33};

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* `size` bytes that end at an unreadable page; whole pages also begin after one. */
static uint8_t *guarded(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inside = (size + page - 1) / page * page;
    uint8_t *area = mmap(NULL, inside + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        die("mmap");
    if (mprotect(area + page, inside, PROT_READ | PROT_WRITE))
        die("mprotect");
    return area + page + inside - size;
}

static void release(uint8_t *bytes, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inside = (size + page - 1) / page * page;
    if (munmap(bytes + size - inside - page, inside + 2 * page))
        die("munmap");
}

static void fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        bytes[i] = (uint8_t)(x >> 56);
    }
}

/* What powernode's digest code prepares: here written out again, so that a mistake there is not repeated. */
static void prepare(struct pn_frame *frame, enum pn_algorithm algorithm, uint32_t body_blocks, unsigned salt_blocks)
{
    uint8_t block[128];
    size_t size = pn_hash_block_size(algorithm);
    uint64_t bits = ((uint64_t)body_blocks + salt_blocks) * size * 8;

    memset(frame, 0, sizeof(*frame));
    frame->algorithm = algorithm;
    frame->body_blocks = body_blocks;
    if (algorithm == PN_SHA256)
        memcpy(frame->start.w32, pn_sha256_initial, sizeof(pn_sha256_initial));
    else
        memcpy(frame->start.w64, pn_sha512_initial, sizeof(pn_sha512_initial));
    for (unsigned i = 0; i < salt_blocks; i++) {
        fill(block, size, 1000 + i);
        if (algorithm == PN_SHA256)
            pn_sha256_compress(frame->start.w32, block);
        else
            pn_sha512_compress(frame->start.w64, block);
    }
    memset(block, 0, sizeof(block));
    block[0] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        block[size - 1 - i] = (uint8_t)(bits >> (8 * i));
    if (algorithm == PN_SHA256)
        pn_sha256_schedule(frame->tail_schedule.w32, block);
    else
        pn_sha512_schedule(frame->tail_schedule.w64, block);
}

static const struct pn_kernel *portable(enum pn_algorithm algorithm)
{
    return algorithm == PN_SHA256 ? &pn_sha256_portable : &pn_sha512_portable;
}

/* One call of one kernel. The expected digests come from the same bytes at the same place. */
static int same(const struct pn_kernel *kernel, const struct pn_frame *frame, const uint8_t *const *messages,
                size_t groups)
{
    size_t total = groups * kernel->lanes, size = total * pn_digest_size(kernel->algorithm);
    uint8_t *expected = guarded(size), *found = guarded(size);
    struct pn_frame before = *frame;
    memset(found, 0xa5, size);
    portable(kernel->algorithm)->run(frame, messages, total, expected);
    kernel->run(frame, messages, groups, found);
    int equal = memcmp(expected, found, size) == 0 && memcmp(&before, frame, sizeof(before)) == 0;
    release(expected, size);
    release(found, size);
    return equal;
}

/* Messages of `body` bytes, `shift` bytes before their unreadable page. Big bodies take fewer rounds of everything. */
static long check_body(const struct pn_kernel *kernel, uint32_t body_blocks, size_t shift, int brief)
{
    size_t body = body_blocks * pn_hash_block_size(kernel->algorithm), total = kernel->lanes * (brief ? 2 : GROUPS_MAX);
    const uint8_t *messages[MESSAGES_MAX];
    uint8_t *areas[MESSAGES_MAX];
    long digests = 0;
    for (size_t i = 0; i < total; i++) {
        areas[i] = guarded(body + shift);
        fill(areas[i], body, body + 17 * i + shift);
        messages[i] = areas[i];
    }
    for (unsigned salt = 0; salt < SALTS; salt++) {
        struct pn_frame frame;
        prepare(&frame, kernel->algorithm, body_blocks, salt);
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            size_t groups = counts[c];
            if (groups * kernel->lanes > total || (brief && groups == 1))
                continue;
            if (!same(kernel, &frame, messages, groups)) {
                printf("WRONG %s blocks=%u shift=%zu salt=%u groups=%zu\n", kernel->name, body_blocks, shift, salt,
                       groups);
                exit(1);
            }
            digests += (long)(groups * kernel->lanes);
        }
    }
    for (size_t i = 0; i < total; i++)
        release(areas[i], body + shift);
    return digests;
}

/* The messages need not lie in order, and two lanes may read the same one. */
static long check_pointers(const struct pn_kernel *kernel)
{
    const uint8_t *messages[MESSAGES_MAX];
    size_t body = 4 * pn_hash_block_size(kernel->algorithm), total = 2 * kernel->lanes;
    uint8_t *area = guarded(body + 8 * total);
    struct pn_frame frame;
    fill(area, body + 8 * total, 7);
    for (size_t i = 0; i < total; i++)
        messages[i] = area + 8 * total - 8 * (i ^ (i >> 1));
    messages[total - 1] = messages[0];
    prepare(&frame, kernel->algorithm, 4, 1);
    if (!same(kernel, &frame, messages, 2)) {
        printf("WRONG %s overlapping messages\n", kernel->name);
        exit(1);
    }
    release(area, body + 8 * total);
    return (long)total;
}

static void check(const struct pn_kernel *kernel)
{
    long digests;
    const uint32_t lanes = kernel->lanes; /* engine.c relies on powers of two up to LANES_MAX */
    if (lanes > LANES_MAX || lanes == 0 || (lanes & (lanes - 1)) || kernel->worth == 0 || kernel->worth > lanes) {
        printf("WRONG %s lanes=%u worth=%u\n", kernel->name, kernel->lanes, kernel->worth);
        exit(1);
    }
    digests = check_pointers(kernel);
    for (size_t b = 0; b < sizeof(bodies) / sizeof(bodies[0]); b++)
        for (size_t s = 0; s < sizeof(shifts) / sizeof(shifts[0]); s++)
            if (bodies[b] < 1024 || s < 2)
                digests += check_body(kernel, bodies[b], shifts[s], bodies[b] > 16);
    printf("ok %s %ld digests\n", kernel->name, digests);
}

static void answer(const struct pn_kernel *kernel)
{
    uint8_t message[4096], digest[PN_DIGEST_MAX];
    const uint8_t *messages[1] = {message};
    struct pn_frame frame;
    for (unsigned i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)(i * 31 + i / 256);
    prepare(&frame, kernel->algorithm, (uint32_t)(sizeof(message) / pn_hash_block_size(kernel->algorithm)), 0);
    kernel->run(&frame, messages, 1, digest);
    printf("answer %s ", kernel->name);
    for (size_t i = 0; i < pn_digest_size(kernel->algorithm); i++)
        printf("%02x", digest[i]);
    printf("\n");
}

int main(void)
{
    uint32_t features = pn_cpu_features();
    setvbuf(stdout, NULL, _IOLBF, 0);
    answer(&pn_sha256_portable);
    answer(&pn_sha512_portable);
    for (size_t i = 0; i < pn_kernel_count; i++) {
        if ((pn_kernels[i]->features & features) == pn_kernels[i]->features)
            check(pn_kernels[i]);
        else
            printf("lacks %s\n", pn_kernels[i]->name);
    }
    return 0;
}
