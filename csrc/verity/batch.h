/* SPDX-License-Identifier: MIT
 *
 * Many small files through the lanes together. A tree of small files hashed file by file keeps one lane busy: one
 * block, then one descriptor. A batch collects the blocks of many files, hashes all data blocks in one go, then all
 * hash blocks, then all descriptors.
 *
 *     uint8_t *room = pn_batch_reserve(batch, size);   read the file into room
 *     pn_batch_commit(batch, size, digest);            digest is written by the next flush
 */
#ifndef PN_VERITY_BATCH_H
#define PN_VERITY_BATCH_H

#include "plan.h"

struct pn_batch;

/* 0 or -ENOMEM. A batch needs about 1.2 MiB. */
int pn_batch_new(const struct pn_plan *plan, struct pn_batch **batch);
void pn_batch_free(struct pn_batch *batch);

/* The largest file a batch takes; larger ones fill the lanes by themselves. */
uint64_t pn_batch_limit(const struct pn_batch *batch);

/* Room for `size` bytes, at most the limit; flushes first when it is full. The room is void at the next reserve. */
uint8_t *pn_batch_reserve(struct pn_batch *batch, uint64_t size);

/* The reserved room now holds a file of `size` bytes. */
void pn_batch_commit(struct pn_batch *batch, uint64_t size, uint8_t *digest);

/* Called for every file of a flush once its digest is written; the content is still there. An answer other than 0 is
 * kept (the first one) and returned by pn_batch_error; the remaining files still get their digests. */
typedef int pn_batch_visit(void *context, const uint8_t *digest, const uint8_t *content, uint64_t size);
void pn_batch_on_flush(struct pn_batch *batch, pn_batch_visit *visit, void *context);
int pn_batch_error(const struct pn_batch *batch);

/* Writes every digest that is still owed. */
void pn_batch_flush(struct pn_batch *batch);

#endif
