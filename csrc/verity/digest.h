/* SPDX-License-Identifier: MIT
 *
 * The digest of one file or buffer, with as many threads as are worth starting.
 */
#ifndef PN_VERITY_DIGEST_H
#define PN_VERITY_DIGEST_H

#include "plan.h"

/* Bytes to hash: a buffer, or `size` bytes of a file read with pread. */
struct pn_source {
    const uint8_t *data; /* NULL: read from fd */
    int fd;
    uint64_t size;
    const uint64_t *stop; /* NULL, or a word that somebody sets to end the work with -ECANCELED */
};

/* `tree`: NULL, or pn_merkle_tree_size bytes that receive the Merkle tree. -ESTALE: the file became shorter meanwhile.
 */
int pn_digest(const struct pn_plan *plan, const struct pn_source *source, unsigned threads, uint8_t *tree,
              uint8_t *digest);

enum { PN_THREADS_MAX = 64 };

/* How many threads to use when the caller asks for so many, 1 to PN_THREADS_MAX. 0: the CPUs this process may run on.
 */
unsigned pn_thread_count(unsigned asked);

/* Fills `buffer` from the file; -ESTALE if it ends early. */
int pn_read_exactly(int fd, uint8_t *buffer, uint64_t size, uint64_t offset);

#endif
