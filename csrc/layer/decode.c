/* SPDX-License-Identifier: MIT
 *
 * zstd data that arrives in pieces, decompressed into the caller's memory and never beyond it. The format is libzstd's
 * to parse; here is only the bound on the window, which is what a stranger's frame can make it allocate.
 */
#include "libzstd.h"
#include "powernode.h"

#include <errno.h>
#include <stdlib.h>

enum { WINDOW_LOG_LEAST = 10, WINDOW_LOG_MOST = 27 };

struct pn_zstd_decoder {
    const struct pn_libzstd *zstd;
    ZSTD_DCtx *context;
    int32_t failed; /* libzstd promises nothing about a context that has failed */
};

int64_t pn_zstd_version(void)
{
    const struct pn_libzstd *zstd = pn_libzstd();
    return zstd ? (int64_t)zstd->ZSTD_versionNumber() : -ENOSYS;
}

int32_t pn_zstd_decoder_new(uint32_t window_log_max, struct pn_zstd_decoder **out)
{
    const struct pn_libzstd *zstd = pn_libzstd();
    if (!zstd)
        return -ENOSYS;
    if (window_log_max < WINDOW_LOG_LEAST || window_log_max > WINDOW_LOG_MOST)
        return -EINVAL;
    struct pn_zstd_decoder *decoder = calloc(1, sizeof(*decoder));
    if (!decoder)
        return -ENOMEM;
    decoder->zstd = zstd;
    decoder->context = zstd->ZSTD_createDCtx();
    if (!decoder->context || zstd->ZSTD_isError(zstd->ZSTD_DCtx_setParameter(decoder->context, PN_ZSTD_WINDOW_LOG_MAX,
                                                                             (int)window_log_max))) {
        pn_zstd_decoder_free(decoder);
        return -ENOMEM;
    }
    *out = decoder;
    return 0;
}

void pn_zstd_decoder_free(struct pn_zstd_decoder *decoder)
{
    if (!decoder)
        return;
    decoder->zstd->ZSTD_freeDCtx(decoder->context); /* takes NULL */
    free(decoder);
}

int32_t pn_zstd_decoder_run(struct pn_zstd_decoder *decoder, const uint8_t *data, uint64_t size, uint8_t *out,
                            uint64_t room, uint64_t *counts)
{
    struct pn_zstd_in from = {.data = data, .size = size};
    struct pn_zstd_out to = {.data = out, .size = room};
    if (decoder->failed)
        return decoder->failed;
    size_t left;
    do { /* without input as well: a full `out` may have left something inside */
        left = decoder->zstd->ZSTD_decompressStream(decoder->context, &to, &from);
        if (decoder->zstd->ZSTD_isError(left))
            return decoder->failed = decoder->zstd->ZSTD_getErrorCode(left) == PN_ZSTD_NO_MEMORY ? -ENOMEM : -EBADMSG;
    } while (from.used < from.size && to.used < to.size);
    counts[0] = from.used;
    counts[1] = to.used;
    return left ? 1 : 0;
}
