/* SPDX-License-Identifier: MIT
 *
 * The lines of a layer's two tables: the table of contents (canonical JSON, see src/powernode/archive/chunked/toc.py)
 * and the tar-split data (_tarsplit.py there).
 */
#ifndef PN_LAYER_DOCUMENT_H
#define PN_LAYER_DOCUMENT_H

#include "entry.h"

/* The members of an entry that are known before its content is read, in two parts: up to "name", and from "size" on
 * with the closing brace. Between them, and in front, comes where the content is. */
void pn_toc_first_members(struct pn_bytes *out, const struct pn_layer_entry *entry);
void pn_toc_last_members(struct pn_bytes *out, const struct pn_layer_entry *entry);

/* `position` is the number of the line. */
void pn_split_raw(struct pn_bytes *out, const uint8_t *data, size_t size, uint64_t position);

enum { PN_SPLIT_CHECKSUM_SIZE = 12 }; /* eight bytes in base64 */
/* Returns where in `out` the checksum of a content goes. */
size_t pn_split_file(struct pn_bytes *out, const struct pn_layer_entry *entry, uint64_t position);

#endif
