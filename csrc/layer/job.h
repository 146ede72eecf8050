/* SPDX-License-Identifier: MIT
 *
 * A stretch of the archive, and the threads that fill in the contents and compress it. Whoever lays out a job decides
 * what becomes a frame, so the bytes do not depend on who does the work or when; jobs are taken up in their order and
 * collected in their order.
 *
 *     lay out pn_crew_next(crew); pn_crew_submit(crew)     while pn_crew_has_room(crew)
 *     use(pn_crew_finished(crew)); pn_crew_release(crew)   the oldest one, which the caller may have to do itself
 */
#ifndef PN_LAYER_JOB_H
#define PN_LAYER_JOB_H

#include "bytes.h"
#include "libzstd.h"

/* Part of `in` that becomes one frame. */
struct pn_frame_plan {
    size_t start;
    size_t size;
    size_t compressed; /* known when the job is done */
    bool is_content;
};

/* Part of `in` that is read from an object: `payload` is its path, 65 bytes. */
struct pn_fill_plan {
    size_t start;
    size_t size;
    uint64_t offset; /* in the object */
    uint64_t whole;  /* size that the object must have */
    const uint8_t *payload;
};

/* An entry of the archive, or a part of one whose content is large. */
struct pn_item_plan {
    size_t toc_start; /* of its members in `toc`: the first ones, the last ones from `toc_middle` to `toc_end` */
    size_t toc_middle;
    size_t toc_end;
    size_t checksum; /* its place in `split` */
    bool has_content;
    bool first; /* part of its content */
    bool last;
};

struct pn_job {
    struct pn_bytes in;     /* of the archive */
    struct pn_bytes frames; /* struct pn_frame_plan */
    struct pn_bytes fills;  /* struct pn_fill_plan */
    struct pn_bytes items;  /* struct pn_item_plan */
    struct pn_bytes toc;
    struct pn_bytes split;
    struct pn_bytes out; /* the frames, one behind the other */
    int32_t error;
    size_t error_fill; /* that it is about, or SIZE_MAX */
    bool done;
};

#define PN_JOB_COUNT(list, type) ((list).size / sizeof(type))
#define PN_JOB_AT(list, type, index) ((type *)(void *)(list).data + (index))

struct pn_crew;
/* `threads` in all, the caller among them. -ENOMEM, or -ENOSYS without libzstd. */
int32_t pn_crew_new(int objects, int level, unsigned threads, struct pn_crew **crew);
void pn_crew_free(struct pn_crew *crew);

bool pn_crew_has_room(const struct pn_crew *crew);
bool pn_crew_is_idle(const struct pn_crew *crew);
struct pn_job *pn_crew_next(struct pn_crew *crew);
void pn_crew_submit(struct pn_crew *crew);
struct pn_job *pn_crew_finished(struct pn_crew *crew);
void pn_crew_release(struct pn_crew *crew);

/* One frame behind `out`, by the caller's own context. */
int32_t pn_crew_compress(struct pn_crew *crew, struct pn_bytes *out, const uint8_t *data, size_t size);

#endif
