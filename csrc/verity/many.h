/* SPDX-License-Identifier: MIT */
#ifndef PN_VERITY_MANY_H
#define PN_VERITY_MANY_H

#include "plan.h"

/* Digests of many files. `paths` are `count` NUL-terminated strings one behind the other; errors[i] is 0 or the -errno
 * of file i, whose digest is then untouched. Returns 0, or -ENOMEM when nothing could be done. */
int pn_digest_files(const struct pn_plan *plan, const char *paths, uint64_t count, unsigned threads, uint8_t *digests,
                    int32_t *errors);

#endif
