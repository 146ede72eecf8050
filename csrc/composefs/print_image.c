/* SPDX-License-Identifier: MIT
 *
 * image bytes -> text, as the outside world calls it.
 */
#include <errno.h>
#include <stdlib.h>

#include "failure.h"
#include "print.h"

/* What an image may say in text. Shared xattrs, hard links and deep paths let a crafted image of some kilobytes unfold
 * to gigabytes; an honest one of any size stays below twice its own size, a small one below the constant part. */
#define TEXT_FACTOR 16u
#define TEXT_BASE (UINT64_C(16) << 20)

int32_t pn_composefs_text_from_image(const uint8_t *image, uint64_t size, uint32_t what, const char *filters,
                                     struct pn_buffer *text, struct pn_failure *failure)
{
    static int32_t (*const printers[])(struct pn_view *, struct pn_text *) = {pn_print_dump, pn_print_ls,
                                                                              pn_print_objects};
    struct pn_text out = {.buffer = text, .failure = failure};
    struct pn_view view;
    memset(text, 0, sizeof *text);
    if (what >= sizeof printers / sizeof printers[0])
        return pn_refuse(failure, -EINVAL, what, "composefs.text-kind", "there is no text number %u", what);
    out.limit = size > (UINT64_MAX - TEXT_BASE) / TEXT_FACTOR ? UINT64_MAX : TEXT_BASE + TEXT_FACTOR * size;
    int32_t status = pn_view_open(&view, image, size, filters, failure);
    if (status == 0)
        status = printers[what](&view, &out);
    pn_view_close(&view);
    if (status != 0) {
        free(text->data);
        memset(text, 0, sizeof *text);
    }
    return status;
}
