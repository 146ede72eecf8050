/* SPDX-License-Identifier: MIT */
#include "collect.h"
#include "../composefs/failure.h"
#include "crc64.h"
#include "document.h"
#include "job.h"
#include "text.h"

#include <errno.h>
#include <unistd.h>

enum { TABLE_BYTES_MAX = 128 << 20 };
enum { FILES, BYTES, STOP }; /* the words of `progress` */

int32_t pn_collect_no_memory(const struct pn_collector *to)
{
    return pn_refuse(to->failure, -ENOMEM, 0, "module.layer.memory", "out of memory");
}

static int32_t write_out(struct pn_collector *to, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t done = write(to->out, data, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            int error = done < 0 ? errno : EIO;
            return pn_refuse(to->failure, -error, 0, "module.layer.write", "cannot write the layer: %s",
                             strerror(error));
        }
        data += done, size -= (size_t)done;
    }
    return 0;
}

static int32_t emit(struct pn_collector *to, const uint8_t *data, size_t size)
{
    pn_sha256_update(&to->blob, data, size);
    return write_out(to, data, size);
}

/* Compresses what makes whole frames, or everything. */
static int32_t table_flush(struct pn_collector *to, struct pn_table *table, bool everything)
{
    size_t at = 0;
    if (table->text.failed)
        return pn_collect_no_memory(to);
    while (table->text.size - at >= PN_FRAME_BYTES || (everything && table->text.size > at)) {
        size_t size = table->text.size - at < PN_FRAME_BYTES ? table->text.size - at : PN_FRAME_BYTES;
        if (pn_crew_compress(to->crew, &table->frames, table->text.data + at, size) != 0)
            return pn_collect_no_memory(to);
        table->size += size;
        at += size;
    }
    if (at) {
        memmove(table->text.data, table->text.data + at, table->text.size - at);
        table->text.size -= at;
    }
    return 0;
}

static void put_toc_entry(struct pn_collector *to, const struct pn_job *job, const struct pn_item_plan *item,
                          uint64_t content_end)
{
    struct pn_bytes *toc = &to->toc.text;
    uint8_t digest[32];
    pn_bytes_text(toc, to->toc.size == 0 && toc->size == 0 ? "{\"entries\":[{" : ",{");
    if (item->has_content) {
        pn_sha256_finish(&to->content, digest);
        pn_bytes_text(toc, "\"digest\":\"sha256:");
        pn_text_hex(toc, digest, sizeof(digest));
        pn_bytes_text(toc, "\",\"endOffset\":");
        pn_bytes_decimal(toc, content_end);
        pn_bytes_text(toc, ",");
    }
    pn_bytes_put(toc, job->toc.data + item->toc_start, item->toc_middle - item->toc_start);
    if (item->has_content) {
        pn_bytes_text(toc, ",\"offset\":");
        pn_bytes_decimal(toc, to->content_start);
    }
    pn_bytes_text(toc, ",");
    pn_bytes_put(toc, job->toc.data + item->toc_middle, item->toc_end - item->toc_middle);
}

static void put_checksum(const struct pn_collector *to, struct pn_job *job, size_t place)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(~to->checksum >> (56 - 8 * i));
    struct pn_bytes text = {.data = job->split.data + place, .room = PN_SPLIT_CHECKSUM_SIZE};
    pn_text_base64(&text, bytes, sizeof(bytes));
}

/* The frames of a job, one after the other, with the positions they get in the blob; and how much of what the job adds
 * to the blob has been hashed beside the contents. */
struct cursor {
    size_t frame;
    uint64_t position;
    size_t hashed;
};

/* For whoever watches from another thread. */
static void count(struct pn_collector *to, unsigned what, uint64_t more)
{
    __atomic_store_n(&to->progress[what], to->progress[what] + more, __ATOMIC_RELAXED);
}

static void collect_content(struct pn_collector *to, struct pn_job *job, const struct pn_item_plan *item,
                            const struct pn_frame_plan *frame, struct cursor *cursor)
{
    const uint8_t *data = job->in.data + frame->start;
    if (item->first) {
        pn_sha256_start(&to->content);
        to->checksum = PN_CRC64_START;
        to->content_start = cursor->position;
    }
    cursor->hashed += pn_sha256_update_three(&to->archive, &to->content, data, frame->size, &to->blob,
                                             job->out.data + cursor->hashed, job->out.size - cursor->hashed);
    to->checksum = pn_crc64(to->checksum, data, frame->size);
    count(to, BYTES, frame->size);
}

/* Up to the frame that holds the content of `item`; without one, all that are left. */
static void collect_frames(struct pn_collector *to, struct pn_job *job, const struct pn_item_plan *item,
                           struct cursor *cursor)
{
    const size_t count = PN_JOB_COUNT(job->frames, struct pn_frame_plan);
    bool found = false;
    while (!found && cursor->frame < count) {
        const struct pn_frame_plan *frame = PN_JOB_AT(job->frames, struct pn_frame_plan, cursor->frame++);
        found = item && frame->is_content;
        if (found)
            collect_content(to, job, item, frame, cursor);
        else
            pn_sha256_update(&to->archive, job->in.data + frame->start, frame->size);
        cursor->position += frame->compressed;
    }
}

static int32_t refuse_job(const struct pn_collector *to, const struct pn_job *job)
{
    if (job->error_fill == SIZE_MAX)
        return pn_collect_no_memory(to);
    const char *name = (const char *)PN_JOB_AT(job->fills, struct pn_fill_plan, job->error_fill)->payload;
    if (job->error == -ESTALE)
        return pn_refuse(to->failure, -ESTALE, 0, "archive.layer.content",
                         "the object %.65s is not as long as its tree says", name);
    return pn_refuse(to->failure, job->error, 0, "module.layer.object", "cannot read the object %.65s: %s", name,
                     strerror(-job->error));
}

int32_t pn_collect(struct pn_collector *to)
{
    struct pn_job *job = pn_crew_finished(to->crew);
    struct cursor cursor = {.position = to->blob.size};
    if (job->error)
        return refuse_job(to, job);
    if (__atomic_load_n(&to->progress[STOP], __ATOMIC_RELAXED))
        return pn_refuse(to->failure, -ECANCELED, 0, "module.layer.cancelled", "cancelled");
    for (size_t i = 0; i < PN_JOB_COUNT(job->items, struct pn_item_plan); i++) {
        const struct pn_item_plan *item = PN_JOB_AT(job->items, struct pn_item_plan, i);
        if (item->has_content)
            collect_frames(to, job, item, &cursor);
        if (!item->last)
            continue;
        if (item->has_content)
            put_checksum(to, job, item->checksum);
        put_toc_entry(to, job, item, cursor.position);
        count(to, FILES, 1);
    }
    collect_frames(to, job, NULL, &cursor);
    pn_bytes_put(&to->split.text, job->split.data, job->split.size);
    pn_sha256_update(&to->blob, job->out.data + cursor.hashed, job->out.size - cursor.hashed);
    int32_t error = write_out(to, job->out.data, job->out.size);
    error = error ? error : table_flush(to, &to->toc, false);
    error = error ? error : table_flush(to, &to->split, false);
    pn_crew_release(to->crew);
    return error;
}

static void put_u32(uint8_t *at, uint64_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* A frame that every zstd reader passes over. */
static int32_t emit_skippable(struct pn_collector *to, const uint8_t *data, size_t size)
{
    uint8_t head[8];
    put_u32(head, 0x184d2a50);
    put_u32(head + 4, size);
    int32_t error = emit(to, head, sizeof(head));
    return error ? error : emit(to, data, size);
}

static void digest_of(const struct pn_bytes *bytes, uint8_t digest[32])
{
    struct pn_sha256 hash;
    pn_sha256_start(&hash);
    pn_sha256_update(&hash, bytes->data, bytes->size);
    pn_sha256_finish(&hash, digest);
}

int32_t pn_collect_finish(struct pn_collector *to, struct pn_layer *layer)
{
    uint8_t footer[64] = {0};
    int32_t error = table_flush(to, &to->split, true);
    if (error)
        return error;
    digest_of(&to->split.frames, layer->split_digest);
    pn_bytes_text(&to->toc.text, "],\"tarSplitDigest\":\"sha256:");
    pn_text_hex(&to->toc.text, layer->split_digest, sizeof(layer->split_digest));
    pn_bytes_text(&to->toc.text, "\",\"version\":1}");
    error = table_flush(to, &to->toc, true);
    if (error)
        return error;
    digest_of(&to->toc.frames, layer->toc_digest);
    if (to->toc.size > TABLE_BYTES_MAX || to->split.frames.size > UINT32_MAX)
        return pn_refuse(to->failure, -E2BIG, 0, "archive.toc.size", "the table of contents is too large");
    layer->archive_size = to->archive.size;
    layer->toc_offset = to->blob.size + 8;
    layer->toc_size = to->toc.frames.size;
    layer->toc_text_size = to->toc.size;
    layer->split_offset = layer->toc_offset + layer->toc_size + 8;
    layer->split_size = to->split.frames.size;
    layer->split_text_size = to->split.size;
    const uint64_t numbers[7] = {layer->toc_offset,   layer->toc_size,   layer->toc_text_size,  1,
                                 layer->split_offset, layer->split_size, layer->split_text_size};
    for (unsigned i = 0; i < 7; i++) {
        put_u32(footer + 8 * i, numbers[i]);
        put_u32(footer + 8 * i + 4, numbers[i] >> 32);
    }
    memcpy(footer + 56, "GNUlInUx", 8);
    error = emit_skippable(to, to->toc.frames.data, to->toc.frames.size);
    error = error ? error : emit_skippable(to, to->split.frames.data, to->split.frames.size);
    error = error ? error : emit_skippable(to, footer, sizeof(footer));
    layer->blob_size = to->blob.size;
    pn_sha256_finish(&to->blob, layer->blob_digest);
    pn_sha256_finish(&to->archive, layer->archive_digest);
    return error;
}

void pn_collector_free(struct pn_collector *to)
{
    pn_bytes_free(&to->toc.text);
    pn_bytes_free(&to->toc.frames);
    pn_bytes_free(&to->split.text);
    pn_bytes_free(&to->split.frames);
}
