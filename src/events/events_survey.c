/*
 * events/events_survey.c -- reads a log's files without being their owner.
 *
 * The newest segment grows while it is looked at: what is read first may be older than what is read
 * next, and a hole between two frames can be nothing but that.  So its end is found by walking until
 * a walk meets no later proof: a frame behind the end that says "everything below was on disk"
 * raises what must be there, and the next walk, with fresh bytes, either passes the hole or proves
 * it to be damage.
 */
#include "events/events_survey.h"

#include "base/file.h"
#include "events/eventlog.h"

#include <stdio.h>

static Err ignore_frame(Ctx *ctx, const Frame *f, void *arg)
{
    (void)ctx;
    (void)f;
    (void)arg;
    return ERR_OK;
}

static Err ignore_gap(Ctx *ctx, uint64_t seq, uint64_t count, int64_t offset, void *arg)
{
    (void)ctx;
    (void)seq;
    (void)count;
    (void)offset;
    (void)arg;
    return ERR_OK;
}

/* ---- the end of the newest segment ----------------------------------------------------------- */

/* One walk with fresh bytes; *proven grows when a later frame says that more was on disk. */
static Err walk_newest(Ctx *ctx, File file, const Manifest *m, uint64_t first_seq, uint64_t *proven,
                       FrameWalkEnd *end)
{
    const FrameWalk walk = {.first_seq = first_seq,
                            .proven_seq = *proven,
                            .proven_end = m->active_first == first_seq ? m->active_end : 0,
                            .sealed = true,
                            .on_frame = ignore_frame,
                            .on_gap = ignore_gap};
    FrameReader reader;
    frame_reader_init(&reader, file, FRAME_SCAN_BYTES);
    Err err = frame_walk(ctx, &reader, &walk, end);
    int64_t from = end->offset + FRAME_ALIGN_BYTES;
    while (err == ERR_OK) {
        Frame f;
        bool found = false;
        err = frame_find(ctx, &reader, from, end->next_seq, &f, &found);
        if (err != ERR_OK || !found)
            break;
        if (f.head.durable_seq > *proven)
            *proven = f.head.durable_seq;
        from = (int64_t)f.offset + frame_size(f.head.bytes);
    }
    frame_reader_clear(&reader);
    return err;
}

static Err find_end(Ctx *ctx, const Manifest *m, Str folder, EventsSurveySegment *newest)
{
    File file;
    FrameWalkEnd end = {0};
    /* An index or a segment that came after the manifest says nothing here. */
    uint64_t proven = m->is_there && m->active_first == newest->first_seq ? m->durable_seq : 0;
    uint64_t before = 0;
    TRY(file_open(ctx, folder, str_of(newest->name), FILE_READ, &file));
    Err err = ERR_OK;
    do {
        before = proven;
        err = walk_newest(ctx, file, m, newest->first_seq, &proven, &end);
    } while (err == ERR_OK && proven > before && proven > end.next_seq);
    file_close(&file);
    TRY(err);
    newest->end_seq = end.next_seq > proven ? end.next_seq : proven;
    newest->bytes = end.offset;
    return ERR_OK;
}

/* ---- the survey ------------------------------------------------------------------------------ */

static Err list_segments(Ctx *ctx, EventsSurvey *s)
{
    Str *names = NULL;
    size_t n = 0;
    TRY(file_list(ctx, s->folder, &names, &n));
    s->segments = ARENA_ARRAY(ctx->arena, EventsSurveySegment, n + 1);
    for (size_t i = 0; i < n; i++) {
        EventsSurveySegment *g = &s->segments[s->count];
        if (!log_name_seq(names[i], LOG_SUFFIX, &g->first_seq))
            continue;
        CHECK(str_to_c(names[i], g->name, sizeof g->name));
        if (s->count > 0)
            g[-1].end_seq = g->first_seq;
        s->count++;
    }
    return ERR_OK;
}

Err events_survey(Ctx *ctx, Str folder, EventsSurvey *out)
{
    EventsSurvey s = {.folder = folder, .end_seq = 1};
    Manifest m;
    bool damaged = false;
    /* First: the manifest must not know more than the segments that are looked at afterwards. */
    TRY(log_load_manifest(ctx, folder, &m, &damaged));
    s.manifest_there = m.is_there || damaged;
    s.manifest_good = m.is_there;
    s.manifest = m.bytes;
    s.applied = m.ranges;
    s.applied_count = m.range_count;
    TRY(list_segments(ctx, &s));
    if (s.count > 0) {
        EventsSurveySegment *newest = &s.segments[s.count - 1];
        TRY(find_end(ctx, &m, folder, newest));
        s.end_seq = newest->end_seq;
    }
    if (m.is_there && m.durable_seq > s.end_seq)
        s.manifest_good = false; /* of other files, as events_open() sees it */
    *out = s;
    return ERR_OK;
}

bool events_survey_counts_applied(const EventsSurvey *survey, int64_t outbox_id)
{
    for (size_t i = 0; survey->manifest_good && i < survey->applied_count; i++)
        if (outbox_id >= survey->applied[i].from && outbox_id <= survey->applied[i].to)
            return true;
    return false;
}

/* ---- reading it ------------------------------------------------------------------------------ */

typedef struct SurveyRead {
    const EventsSurvey *survey;
    const EventsSurveyVisit *visit;
    const char *file;
    Arena *scratch;
    int64_t bad;
    bool stopped; /* by the visitor */
} SurveyRead;

static void found(SurveyRead *r, int64_t offset, const char *what)
{
    r->bad++;
    if (r->visit->report != NULL)
        r->visit->report(r->file, offset, what, r->visit->arg);
}

static Err read_gap(Ctx *ctx, uint64_t seq, uint64_t count, int64_t offset, void *arg)
{
    (void)ctx;
    char what[120];
    (void)snprintf(what, sizeof what,
                   "a frame is damaged: the events %" PRIu64 " to %" PRIu64 " cannot be read", seq,
                   seq + count - 1);
    found(arg, offset, what);
    return ERR_OK;
}

static Err read_frame(Ctx *ctx, const Frame *f, void *arg)
{
    SurveyRead *r = arg;
    static const uint8_t NO_KEY[SIPHASH_KEY_BYTES]; /* the hashes are not looked at */
    Ctx scratch = {.arena = r->scratch};
    EventsBatch batch;
    arena_reset(r->scratch);
    if (f->head.first_seq >= r->survey->end_seq)
        return ERR_OK;
    if (log_read_batch(&scratch, NO_KEY, f->events, RECORDS_ERASED, &batch) != ERR_OK ||
        batch.count != f->head.count) {
        found(r, f->offset, "a frame holds what is no event");
        return ERR_OK;
    }
    if (r->visit->batch == NULL)
        return ERR_OK;
    const Err err =
        r->visit->batch(ctx, f->head.first_seq, f->head.outbox_id, f->events, r->visit->arg);
    r->stopped = err != ERR_OK;
    return err;
}

static Err read_segment_file(Ctx *ctx, SurveyRead *r, const EventsSurveySegment *segment, File file)
{
    SegmentHead head = {.version = 0};
    size_t got = 0;
    TRY(file_read_at(ctx, file, 0, (char *)&head, sizeof head, &got));
    if (got < sizeof head || !segment_head_is_good(&head, segment->first_seq))
        found(r, 0, "the segment's head is damaged");
    const FrameWalk walk = {.first_seq = segment->first_seq,
                            .proven_seq = segment->end_seq,
                            .proven_end = segment->bytes,
                            .sealed = true,
                            .on_frame = read_frame,
                            .on_gap = read_gap,
                            .arg = r};
    FrameReader reader;
    FrameWalkEnd end;
    int64_t bytes = 0, dirty = 0;
    frame_reader_init(&reader, file, FRAME_SCAN_BYTES);
    Err err = frame_walk(ctx, &reader, &walk, &end);
    if (err == ERR_OK && segment->bytes == 0)
        err = frame_find_nonzero(ctx, &reader, end.offset, &dirty);
    frame_reader_clear(&reader);
    TRY(err);
    TRY(file_size(ctx, file, &bytes));
    if (end.next_seq < segment->end_seq)
        found(r, end.offset, "events are missing");
    else if (segment->bytes == 0 && dirty < bytes)
        found(r, dirty, "bytes behind the last frame");
    return ERR_OK;
}

/* The disk does not give the file back. */
static Err pass_over(SurveyRead *r, const EventsSurveySegment *segment, Err err)
{
    if (r->visit->unread == NULL)
        return err;
    found(r, 0, "the file cannot be read");
    if (*r->visit->unread == 0)
        *r->visit->unread = segment->first_seq;
    return ERR_OK;
}

static Err read_segment(Ctx *ctx, SurveyRead *r, const EventsSurveySegment *segment)
{
    File file;
    r->file = segment->name;
    const Err opened = file_open(ctx, r->survey->folder, str_of(segment->name), FILE_READ, &file);
    if (opened == ERR_NOT_FOUND) {
        found(r, 0, "the file is missing");
        return ERR_OK;
    }
    if (opened != ERR_OK)
        return pass_over(r, segment, opened);
    const Err err = read_segment_file(ctx, r, segment, file);
    file_close(&file);
    return err == ERR_OK || r->stopped ? err : pass_over(r, segment, err);
}

/* A missing index is no damage: it is made at the next start. */
static Err read_index(Ctx *ctx, SurveyRead *r, const EventsSurveySegment *segment)
{
    char name[LOG_NAME_BYTES];
    File file;
    Str map = {NULL, 0};
    Run *run = NULL;
    const Str named = log_file_name(segment->first_seq, IDX_SUFFIX, name);
    r->file = name;
    const Err opened = file_open(ctx, r->survey->folder, named, FILE_READ, &file);
    if (opened == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(opened);
    const Err err = file_map(ctx, file, &map);
    file_close(&file);
    TRY(err);
    if (!run_of_block(map, true, segment->first_seq, &run)) {
        file_unmap(map);
        found(r, 0, "the index's head is damaged: remove the file, the next start makes it again");
        return ERR_OK;
    }
    if (!run_is_trusted(run))
        found(r, (int64_t)sizeof(RunHead),
              "the index's body is damaged: remove the file, the next start makes it again");
    run_unref(run);
    return ERR_OK;
}

static Err read_erased(Ctx *ctx, SurveyRead *r)
{
    Erased e = {.count = 0};
    const Err err = erased_read(ctx, r->survey->folder, ERASED_FILE, &e);
    r->file = "erased";
    if (err == ERR_INTERNAL && str_eq(str_of(ctx->fault.reason), STR("events.erased_damaged")))
        found(r, 0, "the ledger of erasures is damaged: put that of the last backup in its place");
    else if (err != ERR_NOT_FOUND)
        TRY(err);
    erased_clear(&e);
    return ERR_OK;
}

static Err read_all(Ctx *ctx, SurveyRead *r)
{
    const EventsSurvey *s = r->survey;
    for (size_t i = 0; i < s->count; i++) {
        if (s->segments[i].end_seq <= r->visit->from_seq)
            continue;
        TRY(read_segment(ctx, r, &s->segments[i]));
        if (i + 1 < s->count)
            TRY(read_index(ctx, r, &s->segments[i]));
    }
    r->file = "manifest";
    if (!s->manifest_good)
        found(r, 0,
              s->manifest_there
                  ? "the manifest is damaged or of other files: the next start makes it again"
                  : "the manifest is missing: the next start makes it again");
    return read_erased(ctx, r);
}

Err events_survey_read(Ctx *ctx, const EventsSurvey *survey, const EventsSurveyVisit *visit,
                       int64_t *bad)
{
    SurveyRead r = {.survey = survey, .visit = visit, .scratch = arena_new(FRAME_SCAN_BYTES)};
    const Err err = read_all(ctx, &r);
    arena_free(r.scratch);
    if (err == ERR_OK)
        *bad = r.bad;
    return err;
}

/* ---- histories ------------------------------------------------------------------------------- */

typedef struct MarkAt {
    uint64_t seq;
    uint32_t mark;
} MarkAt;

static Err take_mark(Ctx *ctx, const Frame *f, void *arg)
{
    (void)ctx;
    MarkAt *at = arg;
    if (at->seq >= f->head.first_seq && at->seq < f->head.first_seq + f->head.count)
        at->mark = frame_mark(&f->head);
    return ERR_OK;
}

static Err walk_for_mark(Ctx *ctx, const EventsSurvey *survey, const EventsSurveySegment *segment,
                         MarkAt *at)
{
    const FrameWalk walk = {.first_seq = segment->first_seq,
                            .proven_seq = segment->end_seq,
                            .proven_end = segment->bytes,
                            .sealed = true,
                            .on_frame = take_mark,
                            .on_gap = ignore_gap,
                            .arg = at};
    File file;
    FrameReader reader;
    FrameWalkEnd end;
    const Err opened = file_open(ctx, survey->folder, str_of(segment->name), FILE_READ, &file);
    if (opened != ERR_OK)
        return opened == ERR_NOT_FOUND ? ERR_OK : opened; /* a lost file has no history */
    frame_reader_init(&reader, file, FRAME_SCAN_BYTES);
    const Err err = frame_walk(ctx, &reader, &walk, &end);
    frame_reader_clear(&reader);
    file_close(&file);
    return err;
}

Err events_survey_mark(Ctx *ctx, const EventsSurvey *survey, uint64_t end_seq, uint32_t *mark)
{
    MarkAt at = {.seq = end_seq - 1};
    for (size_t i = 0; i < survey->count; i++) {
        const EventsSurveySegment *s = &survey->segments[i];
        if (at.seq >= s->first_seq && at.seq < s->end_seq)
            TRY(walk_for_mark(ctx, survey, s, &at));
    }
    *mark = at.mark;
    return ERR_OK;
}

Err events_survey_gone(Ctx *ctx, Str folder, uint64_t *gone_seq)
{
    Erased e = {.count = 0};
    const Err err = erased_read(ctx, folder, ERASED_FILE, &e);
    const bool none =
        err == ERR_NOT_FOUND ||
        (err != ERR_OK && str_eq(str_of(ctx->fault.reason), STR("events.erased_damaged")));
    *gone_seq = e.gone;
    erased_clear(&e);
    return none ? ERR_OK : err;
}
