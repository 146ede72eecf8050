/* SPDX-License-Identifier: MIT
 *
 * The spellings a layer's tables use: canonical JSON strings (ASCII only), base64, hexadecimal, RFC 3339.
 */
#ifndef PN_LAYER_TEXT_H
#define PN_LAYER_TEXT_H

#include "bytes.h"

/* Strictly: no surrogates, nothing longer than needed, nothing above U+10FFFF. */
bool pn_text_is_utf8(const uint8_t *text, size_t size);

/* With its quotes; `text` is UTF-8. */
void pn_text_json(struct pn_bytes *out, const uint8_t *text, size_t size);
void pn_text_base64(struct pn_bytes *out, const uint8_t *data, size_t size);
void pn_text_hex(struct pn_bytes *out, const uint8_t *data, uint32_t size);
/* "1970-01-01T00:00:00Z"; for the years 1 to 9999. */
void pn_text_time(struct pn_bytes *out, int64_t seconds);

#endif
