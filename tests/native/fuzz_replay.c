/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz harness without libFuzzer: every file once as it is, then MUTATIONS variants made from all of them by a
 * fixed generator, so that a failure repeats. For compilers without -fsanitize=fuzzer.
 *
 *     fuzz_replay MUTATIONS SEED FILE...
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES_MAX 1024
#define GROWTH_MAX 64

struct sample {
    uint8_t *bytes;
    size_t size;
};

static uint32_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 16);
}

static int read_sample(const char *path, struct sample *sample)
{
    FILE *file = fopen(path, "rb");
    long size = -1;
    if (file && !fseek(file, 0, SEEK_END))
        size = ftell(file);
    if (size < 0)
        return -1;
    rewind(file);
    sample->size = (size_t)size;
    sample->bytes = malloc(sample->size + 1);
    size_t got = sample->bytes ? fread(sample->bytes, 1, sample->size, file) : 0;
    fclose(file);
    return got == sample->size && sample->bytes ? 0 : -1;
}

/* One small change; `bytes` has GROWTH_MAX bytes of room behind the original size. */
static size_t mutate(uint8_t *bytes, size_t size, size_t room, uint64_t *state)
{
    static const char telling[] = "\\x/-@. =\n0149o";
    size_t at = next_random(state) % size, length = 1 + next_random(state) % 40;
    switch (next_random(state) % 6) {
    case 0:
        bytes[at] = (uint8_t)next_random(state);
        return size;
    case 1:
        bytes[at] = (uint8_t)telling[next_random(state) % (sizeof(telling) - 1)];
        return size;
    case 2:
        if (length > size - at)
            length = size - at;
        memmove(bytes + at, bytes + at + length, size - at - length);
        return size - length;
    case 3:
        if (size == room)
            return size;
        memmove(bytes + at + 1, bytes + at, size - at);
        bytes[at] = (uint8_t)telling[next_random(state) % (sizeof(telling) - 1)];
        return size + 1;
    case 4: {
        size_t from = next_random(state) % size;
        if (length > size - at)
            length = size - at;
        if (length > size - from)
            length = size - from;
        memmove(bytes + at, bytes + from, length);
        return size;
    }
    default:
        return at + 1;
    }
}

static int run_mutation(const struct sample *sample, uint64_t *state)
{
    size_t size = sample->size, room = sample->size + GROWTH_MAX;
    uint8_t *work = malloc(room), *exact;
    if (!work)
        return -1;
    memcpy(work, sample->bytes, size);
    for (uint32_t changes = 1 + next_random(state) % 6; changes && size; changes--)
        size = mutate(work, size, room, state);
    /* A block of the exact size, so that a sanitizer sees the first byte read beyond it. */
    exact = malloc(size ? size : 1);
    if (exact) {
        memcpy(exact, work, size);
        LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(work);
    return exact ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct sample samples[FILES_MAX];
    int count = 0, status = 0;
    if (argc < 4 || argc - 3 > FILES_MAX) {
        fprintf(stderr, "usage: fuzz_replay MUTATIONS SEED FILE... (at most %d files)\n", FILES_MAX);
        return 2;
    }
    for (; count < argc - 3; count++) {
        if (read_sample(argv[3 + count], &samples[count])) {
            fprintf(stderr, "fuzz_replay: cannot read %s\n", argv[3 + count]);
            return 2;
        }
        LLVMFuzzerTestOneInput(samples[count].bytes, samples[count].size);
    }
    uint64_t state = (uint64_t)strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    for (long left = strtol(argv[1], NULL, 10); left > 0 && !status; left--)
        status = run_mutation(&samples[next_random(&state) % (uint32_t)count], &state);
    while (count)
        free(samples[--count].bytes);
    return status ? 2 : 0;
}
