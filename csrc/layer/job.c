/* SPDX-License-Identifier: MIT */
#include "job.h"
#include "../verity/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* So that memory is bounded: a job has up to 4 MiB of headers, as much of content, and that again compressed; as
 * buffers double, 16 MiB. */
enum { THREADS_MAX = 16, JOBS_PER_THREAD = 2 };

struct pn_crew {
    const struct pn_libzstd *zstd;
    int objects;
    int level;
    ZSTD_CCtx *context; /* the caller's */
    struct pn_job *jobs;
    uint64_t count;
    uint64_t submitted; /* jobs ever; the one that is laid out is submitted % count */
    uint64_t taken;     /* below this, none is ready any more */
    uint64_t released;
    bool over;
    pthread_mutex_t lock; /* of the numbers above and of every job's `done` */
    pthread_cond_t ready;
    pthread_cond_t done;
    pthread_t threads[THREADS_MAX];
    unsigned started;
};

static ZSTD_CCtx *new_context(const struct pn_libzstd *zstd, int level)
{
    ZSTD_CCtx *context = zstd->ZSTD_createCCtx();
    if (context && (zstd->ZSTD_isError(zstd->ZSTD_CCtx_setParameter(context, PN_ZSTD_LEVEL, level)) ||
                    zstd->ZSTD_isError(zstd->ZSTD_CCtx_setParameter(context, PN_ZSTD_CONTENT_SIZE, 1)) ||
                    zstd->ZSTD_isError(zstd->ZSTD_CCtx_setParameter(context, PN_ZSTD_CHECKSUM, 0)))) {
        zstd->ZSTD_freeCCtx(context);
        return NULL;
    }
    return context;
}

static int32_t compress(const struct pn_libzstd *zstd, ZSTD_CCtx *context, struct pn_bytes *out, const uint8_t *data,
                        size_t size)
{
    size_t room = zstd->ZSTD_compressBound(size), before = out->size;
    uint8_t *to = pn_bytes_add(out, room);
    if (!to)
        return -ENOMEM;
    size_t made = zstd->ZSTD_compress2(context, to, room, data, size);
    if (zstd->ZSTD_isError(made))
        return -ENOMEM; /* with room for the worst case, nothing else is left to go wrong */
    out->size = before + made;
    return 0;
}

static int32_t fill(const struct pn_crew *crew, struct pn_job *job, const struct pn_fill_plan *plan)
{
    char name[66];
    struct stat st;
    memcpy(name, plan->payload, 65);
    name[65] = 0;
    int fd = openat(crew->objects, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int32_t error = fstat(fd, &st) != 0 ? -errno : 0;
    if (!error && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != plan->whole))
        error = -ESTALE;
    if (!error)
        error = pn_read_exactly(fd, job->in.data + plan->start, plan->size, plan->offset);
    close(fd);
    return error;
}

static void work(const struct pn_crew *crew, ZSTD_CCtx *context, struct pn_job *job)
{
    job->error = 0;
    job->error_fill = SIZE_MAX;
    for (size_t i = 0; i < PN_JOB_COUNT(job->fills, struct pn_fill_plan) && !job->error; i++) {
        job->error = fill(crew, job, PN_JOB_AT(job->fills, struct pn_fill_plan, i));
        job->error_fill = job->error ? i : SIZE_MAX;
    }
    for (size_t i = 0; i < PN_JOB_COUNT(job->frames, struct pn_frame_plan) && !job->error; i++) {
        struct pn_frame_plan *frame = PN_JOB_AT(job->frames, struct pn_frame_plan, i);
        size_t before = job->out.size;
        job->error = compress(crew->zstd, context, &job->out, job->in.data + frame->start, frame->size);
        frame->compressed = job->out.size - before;
    }
}

/* The oldest job that nobody has begun; with the lock held. */
static struct pn_job *take(struct pn_crew *crew)
{
    if (crew->taken == crew->submitted)
        return NULL;
    struct pn_job *job = &crew->jobs[crew->taken++ % crew->count];
    return job;
}

/* With the lock held, which it gives up meanwhile. */
static void do_one(struct pn_crew *crew, ZSTD_CCtx *context, struct pn_job *job)
{
    pthread_mutex_unlock(&crew->lock);
    work(crew, context, job);
    pthread_mutex_lock(&crew->lock);
    job->done = true;
    pthread_cond_signal(&crew->done); /* only the caller waits for it */
}

static void *help(void *argument)
{
    struct pn_crew *crew = argument;
    ZSTD_CCtx *context = new_context(crew->zstd, crew->level);
    pthread_mutex_lock(&crew->lock);
    while (context && !crew->over) { /* without memory, the others do it */
        struct pn_job *job = take(crew);
        if (job)
            do_one(crew, context, job);
        else
            pthread_cond_wait(&crew->ready, &crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
    crew->zstd->ZSTD_freeCCtx(context);
    return NULL;
}

int32_t pn_crew_new(int objects, int level, unsigned threads, struct pn_crew **out)
{
    const struct pn_libzstd *zstd = pn_libzstd();
    if (!zstd)
        return -ENOSYS;
    threads = threads > THREADS_MAX ? THREADS_MAX : threads;
    struct pn_crew *crew = calloc(1, sizeof(*crew));
    if (!crew)
        return -ENOMEM;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->ready, NULL);
    pthread_cond_init(&crew->done, NULL);
    crew->zstd = zstd;
    crew->objects = objects;
    crew->level = level;
    crew->count = JOBS_PER_THREAD * threads + 1;
    crew->jobs = calloc((size_t)crew->count, sizeof(*crew->jobs));
    crew->context = new_context(zstd, level);
    if (!crew->jobs || !crew->context) {
        pn_crew_free(crew);
        return -ENOMEM;
    }
    while (crew->started + 1 < threads && pthread_create(&crew->threads[crew->started], NULL, help, crew) == 0)
        crew->started++;
    *out = crew;
    return 0;
}

void pn_crew_free(struct pn_crew *crew)
{
    if (!crew)
        return;
    pthread_mutex_lock(&crew->lock);
    crew->over = true;
    pthread_cond_broadcast(&crew->ready);
    pthread_mutex_unlock(&crew->lock);
    while (crew->started)
        pthread_join(crew->threads[--crew->started], NULL);
    for (uint64_t i = 0; crew->jobs && i < crew->count; i++) {
        struct pn_job *job = &crew->jobs[i];
        struct pn_bytes *const all[] = {&job->in,  &job->frames, &job->fills, &job->items,
                                        &job->toc, &job->split,  &job->out};
        for (unsigned j = 0; j < sizeof(all) / sizeof(all[0]); j++)
            pn_bytes_free(all[j]);
    }
    free(crew->jobs);
    crew->zstd->ZSTD_freeCCtx(crew->context);
    pthread_cond_destroy(&crew->done);
    pthread_cond_destroy(&crew->ready);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}

bool pn_crew_has_room(const struct pn_crew *crew)
{
    return crew->submitted - crew->released < crew->count;
}

bool pn_crew_is_idle(const struct pn_crew *crew)
{
    return crew->submitted == crew->released;
}

struct pn_job *pn_crew_next(struct pn_crew *crew)
{
    return &crew->jobs[crew->submitted % crew->count];
}

void pn_crew_submit(struct pn_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->submitted++;
    pthread_cond_signal(&crew->ready);
    pthread_mutex_unlock(&crew->lock);
}

struct pn_job *pn_crew_finished(struct pn_crew *crew)
{
    struct pn_job *oldest = &crew->jobs[crew->released % crew->count];
    pthread_mutex_lock(&crew->lock);
    while (!oldest->done) {
        struct pn_job *job = take(crew); /* rather than wait */
        if (job)
            do_one(crew, crew->context, job);
        else
            pthread_cond_wait(&crew->done, &crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
    return oldest;
}

void pn_crew_release(struct pn_crew *crew)
{
    struct pn_job *job = &crew->jobs[crew->released % crew->count];
    job->in.size = job->frames.size = job->fills.size = job->items.size = 0;
    job->toc.size = job->split.size = job->out.size = 0;
    job->done = false;
    crew->released++;
}

int32_t pn_crew_compress(struct pn_crew *crew, struct pn_bytes *out, const uint8_t *data, size_t size)
{
    return compress(crew->zstd, crew->context, out, data, size);
}
