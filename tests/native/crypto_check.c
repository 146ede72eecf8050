/* SPDX-License-Identifier: MIT
 *
 * pn_public_key and pn_signature_verify with hostile bytes, from several threads, with sanitizers. What is right is
 * asked in tests/unit/trust; here the answers only have to be answers. Every buffer ends where its memory ends.
 *
 *     crypto_check ALGORITHM KEY MESSAGE SIGNATURE      (files; the signature is right)
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/include/powernode.h"

#define CHECK(condition)                                                                \
    do {                                                                                \
        if (!(condition)) {                                                             \
            fprintf(stderr, "crypto_check.c:%d: not true: %s\n", __LINE__, #condition); \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)

enum { THREADS = 4, ROUNDS = 32 };

struct bytes {
    uint8_t *data;
    uint64_t size;
};

static uint32_t algorithm;
static struct bytes key, message, signature;

static struct bytes read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    CHECK(size >= 0);
    struct bytes result = {malloc((size_t)size + !size), (uint64_t)size};
    rewind(file);
    CHECK(result.data && fread(result.data, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    return result;
}

/* The first `size` bytes in memory of just that size, with `flips` bits changed. */
static struct bytes damaged(struct bytes from, uint64_t size, unsigned flips, unsigned *seed)
{
    struct bytes copy = {malloc(size + !size), size};
    CHECK(copy.data);
    memcpy(copy.data, from.data, size);
    while (size && flips--)
        copy.data[(unsigned)rand_r(seed) % size] ^= (uint8_t)(1 << rand_r(seed) % 8);
    return copy;
}

static int32_t verify(struct bytes with, struct bytes over, struct bytes what)
{
    return pn_signature_verify(algorithm, with.data, with.size, over.data, over.size, what.data, what.size);
}

static void *work(void *argument)
{
    unsigned seed = *(unsigned *)argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct bytes bad_key = damaged(key, i % 4 ? key.size : (unsigned)rand_r(&seed) % key.size, i % 3 + 1, &seed);
        struct bytes cut = damaged(signature, (unsigned)rand_r(&seed) % signature.size, 0, &seed);
        uint32_t kind_and_bits[2];
        int32_t answer = verify(bad_key, message, signature);
        CHECK(answer == -EINVAL || answer == -EBADMSG || answer == 0); /* two flips may undo each other */
        CHECK((pn_public_key(bad_key.data, bad_key.size, kind_and_bits) == -EINVAL) == (answer == -EINVAL));
        CHECK(verify(key, message, cut) == -EBADMSG);
        if (i % 16 == 0)
            CHECK(verify(key, message, signature) == 0);
        free(bad_key.data);
        free(cut.data);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    CHECK(argc == 5);
    algorithm = (uint32_t)atoi(argv[1]);
    key = read_file(argv[2]);
    message = read_file(argv[3]);
    signature = read_file(argv[4]);
    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = i + 1;
        CHECK(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t other = 0; other <= 11; other++)
        if (other == 0 || other > 9)
            CHECK(pn_signature_verify(other, key.data, key.size, message.data, message.size, signature.data,
                                      signature.size) == -EINVAL);
    CHECK(pn_signature_verify(algorithm, key.data, UINT64_MAX, message.data, 0, signature.data, 1) == -EINVAL);
    CHECK(pn_signature_verify(algorithm, key.data, key.size, message.data, 0, signature.data, UINT64_MAX) == -EBADMSG);
    free(key.data);
    free(message.data);
    free(signature.data);
    return 0;
}
