/* SPDX-License-Identifier: MIT
 *
 * The tar header of an entry, in the one spelling of src/powernode/archive/chunked/_tar.py: ustar, with a pax header in
 * front where that cannot say it.
 */
#ifndef PN_LAYER_TAR_HEADER_H
#define PN_LAYER_TAR_HEADER_H

#include "entry.h"

enum { PN_TAR_BLOCK = 512 };

/* Puts all blocks of the header behind `out`; `scratch` is memory that goes from call to call. */
void pn_tar_header(struct pn_bytes *out, const struct pn_layer_entry *entry, struct pn_bytes *scratch);

static inline size_t pn_tar_padding(uint64_t size)
{
    return (size_t)(-size % PN_TAR_BLOCK);
}

#endif
