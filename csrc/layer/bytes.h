/* SPDX-License-Identifier: MIT
 *
 * Bytes that grow. Running out of memory is noted in `failed` and asked for once, at the end of a step; until then
 * everything behaves as if there were room.
 */
#ifndef PN_LAYER_BYTES_H
#define PN_LAYER_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct pn_bytes {
    uint8_t *data;
    size_t size;
    size_t room;
    bool failed;
};

/* `count` bytes behind the last one, which the caller fills; NULL where there is no memory, also if `count` is 0. */
uint8_t *pn_bytes_add(struct pn_bytes *bytes, size_t count);
void pn_bytes_free(struct pn_bytes *bytes);

static inline void pn_bytes_put(struct pn_bytes *bytes, const void *data, size_t count)
{
    uint8_t *to = pn_bytes_add(bytes, count);
    if (to && count)
        memcpy(to, data, count);
}

static inline void pn_bytes_text(struct pn_bytes *bytes, const char *text)
{
    pn_bytes_put(bytes, text, strlen(text));
}

static inline void pn_bytes_zeros(struct pn_bytes *bytes, size_t count)
{
    uint8_t *to = pn_bytes_add(bytes, count);
    if (to && count)
        memset(to, 0, count);
}

void pn_bytes_decimal(struct pn_bytes *bytes, uint64_t value);
void pn_bytes_signed(struct pn_bytes *bytes, int64_t value);

#endif
