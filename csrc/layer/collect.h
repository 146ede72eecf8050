/* SPDX-License-Identifier: MIT
 *
 * What runs through a whole layer, from its first byte to its last: the digests of archive and blob, positions, the two
 * tables, writing. Jobs come here done and in their order.
 */
#ifndef PN_LAYER_COLLECT_H
#define PN_LAYER_COLLECT_H

#include "job.h"
#include "powernode.h"
#include "sha256.h"

enum { PN_FRAME_BYTES = 4 << 20 }; /* the most that one frame holds */

/* A table that is compressed as it grows. */
struct pn_table {
    struct pn_bytes text;
    struct pn_bytes frames;
    uint64_t size;
};

/* Zeros, but for the first four members and the two digests, which are started. */
struct pn_collector {
    struct pn_crew *crew;
    int out;
    uint64_t *progress;
    struct pn_failure *failure;
    struct pn_sha256 blob;
    struct pn_sha256 archive;
    struct pn_sha256 content;
    uint64_t checksum; /* of the content at hand */
    uint64_t content_start;
    struct pn_table toc;
    struct pn_table split;
};

/* Waits for the oldest job of the crew and takes it in. */
int32_t pn_collect(struct pn_collector *to);
/* Writes the tables and the footer. */
int32_t pn_collect_finish(struct pn_collector *to, struct pn_layer *layer);
int32_t pn_collect_no_memory(const struct pn_collector *to);
void pn_collector_free(struct pn_collector *to);

#endif
