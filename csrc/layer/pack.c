/* SPDX-License-Identifier: MIT
 *
 * A composefs image and its objects as a zstd:chunked layer, the same bytes as src/powernode/archive/chunked/write.py.
 *
 * The caller's thread goes through the image and lays out the archive, up to a job's worth ahead of the others; it also
 * collects (collect.h). Contents are read and compressed by whoever is free (job.h).
 */
#include "../composefs/failure.h"
#include "../verity/digest.h"
#include "collect.h"
#include "document.h"
#include "tar_header.h"

#include <errno.h>
#include <stdlib.h>

enum { JOB_BYTES = 1 << 20, JOB_FRAMES = 1 << 10 };

struct pack {
    struct pn_view view;
    struct pn_layer_names names;
    struct pn_bytes scratch;
    struct pn_collector to;
    struct pn_job *job;
    size_t raw_start;  /* in job->in: what follows has no frame yet */
    size_t kept_start; /* what tar-split has not got yet, which is padding */
    uint64_t line;     /* of tar-split */
};

static void plan_frame(struct pack *pack, size_t start, size_t size, bool is_content)
{
    const struct pn_frame_plan frame = {.start = start, .size = size, .is_content = is_content};
    pn_bytes_put(&pack->job->frames, &frame, sizeof(frame));
}

/* Frames for the headers that have none yet: whole ones, or for all. */
static void plan_raw(struct pack *pack, bool everything)
{
    struct pn_job *job = pack->job;
    while (job->in.size - pack->raw_start >= PN_FRAME_BYTES || (everything && job->in.size > pack->raw_start)) {
        size_t size = job->in.size - pack->raw_start;
        size = size < PN_FRAME_BYTES ? size : PN_FRAME_BYTES;
        plan_frame(pack, pack->raw_start, size, false);
        pack->raw_start += size;
    }
}

/* Gives the job to the crew if it is large enough, or if there is to be no other; headers without a frame go into the
 * next one. */
static int32_t pass_on(struct pack *pack, bool everything)
{
    struct pn_job *job = pack->job;
    if (job->in.failed || job->frames.failed || job->fills.failed || job->items.failed || job->toc.failed ||
        job->split.failed)
        return pn_collect_no_memory(&pack->to);
    if (!everything && pack->raw_start < JOB_BYTES && PN_JOB_COUNT(job->frames, struct pn_frame_plan) < JOB_FRAMES)
        return 0;
    size_t rest = job->in.size - pack->raw_start, kept = job->in.size - pack->kept_start;
    pack->scratch.size = 0;
    pn_bytes_put(&pack->scratch, job->in.data + pack->raw_start, rest);
    job->in.size = pack->raw_start;
    pn_crew_submit(pack->to.crew);
    int32_t error = 0;
    while (!error && !pn_crew_has_room(pack->to.crew))
        error = pn_collect(&pack->to);
    if (error)
        return error;
    pack->job = pn_crew_next(pack->to.crew);
    pn_bytes_put(&pack->job->in, pack->scratch.data, rest);
    pack->raw_start = 0;
    pack->kept_start = rest - kept;
    return pack->scratch.failed ? pn_collect_no_memory(&pack->to) : 0;
}

static void plan_item(struct pack *pack, const struct pn_layer_entry *entry, bool first, bool last)
{
    struct pn_job *job = pack->job;
    struct pn_item_plan item = {.has_content = entry->size != 0, .first = first, .last = last};
    if (last) {
        item.toc_start = job->toc.size;
        pn_toc_first_members(&job->toc, entry);
        item.toc_middle = job->toc.size;
        pn_toc_last_members(&job->toc, entry);
        item.toc_end = job->toc.size;
        item.checksum = pn_split_file(&job->split, entry, pack->line++);
    }
    pn_bytes_put(&job->items, &item, sizeof(item));
}

static int32_t plan_content(struct pack *pack, const struct pn_layer_entry *entry)
{
    for (uint64_t offset = 0; offset < entry->size;) {
        uint64_t left = entry->size - offset;
        const size_t size = left < PN_FRAME_BYTES ? (size_t)left : PN_FRAME_BYTES;
        struct pn_job *job = pack->job;
        const struct pn_fill_plan fill = {
            .start = job->in.size, .size = size, .offset = offset, .whole = entry->size, .payload = entry->payload};
        if (entry->payload) {
            pn_bytes_put(&job->fills, &fill, sizeof(fill));
            pn_bytes_add(&job->in, size);
        } else {
            pn_bytes_put(&job->in, entry->content, size);
        }
        plan_frame(pack, fill.start, size, true);
        pack->raw_start = pack->kept_start = fill.start + size;
        offset += size;
        plan_item(pack, entry, fill.offset == 0, offset == entry->size);
        int32_t error = pass_on(pack, false);
        if (error)
            return error;
    }
    pn_bytes_zeros(&pack->job->in, pn_tar_padding(entry->size));
    return 0;
}

static int32_t plan_entry(struct pack *pack, const struct pn_layer_entry *entry)
{
    struct pn_job *job = pack->job;
    pn_tar_header(&job->in, entry, &pack->scratch);
    if (job->in.failed)
        return pn_collect_no_memory(&pack->to);
    pn_split_raw(&job->split, job->in.data + pack->kept_start, job->in.size - pack->kept_start, pack->line++);
    pack->kept_start = job->in.size;
    plan_raw(pack, entry->size != 0);
    if (entry->size)
        return plan_content(pack, entry);
    plan_item(pack, entry, true, true);
    return pass_on(pack, false);
}

static int32_t plan_all(struct pack *pack)
{
    struct pn_layer_entry entry;
    int32_t status;
    while ((status = pn_view_next(&pack->view)) == 1) {
        status = pn_layer_entry(&pack->names, &pack->view, &entry);
        status = status ? status : plan_entry(pack, &entry);
        if (status)
            return status;
    }
    if (status)
        return status;
    struct pn_job *job = pack->job;
    pn_bytes_zeros(&job->in, 2 * PN_TAR_BLOCK);
    if (job->in.failed)
        return pn_collect_no_memory(&pack->to);
    pn_split_raw(&job->split, job->in.data + pack->kept_start, job->in.size - pack->kept_start, pack->line++);
    pack->kept_start = job->in.size;
    plan_raw(pack, true);
    status = pass_on(pack, true);
    while (!status && !pn_crew_is_idle(pack->to.crew))
        status = pn_collect(&pack->to);
    return status;
}

int32_t pn_layer_write(const uint8_t *image, uint64_t size, int32_t objects, int32_t out, uint32_t level,
                       uint32_t threads, uint64_t *progress, struct pn_layer *layer, struct pn_failure *failure)
{
    uint64_t unwatched[3] = {0};
    struct pack *pack = calloc(1, sizeof(*pack));
    if (!pack)
        return pn_refuse(failure, -ENOMEM, 0, "module.layer.memory", "not enough memory to write a layer");
    pack->to.failure = failure;
    pack->to.out = out;
    pack->to.progress = progress ? progress : unwatched;
    pn_sha256_start(&pack->to.blob);
    pn_sha256_start(&pack->to.archive);
    memset(layer, 0, sizeof(*layer));
    int32_t status = pn_crew_new(objects, (int)level, pn_thread_count(threads), &pack->to.crew);
    if (status == -ENOSYS)
        pn_refuse(failure, status, 0, "archive.zstd.missing", "there is no libzstd.so.1 here");
    else if (status)
        pn_collect_no_memory(&pack->to);
    else {
        pack->job = pn_crew_next(pack->to.crew);
        status = pn_view_open(&pack->view, image, size, NULL, failure);
        status = status ? status : plan_all(pack);
        status = status ? status : pn_collect_finish(&pack->to, layer);
        pn_view_close(&pack->view);
    }
    pn_crew_free(pack->to.crew);
    pn_collector_free(&pack->to);
    pn_bytes_free(&pack->scratch);
    pn_layer_names_free(&pack->names);
    free(pack);
    return status;
}
