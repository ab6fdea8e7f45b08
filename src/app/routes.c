/*
 * app/routes.c -- every room's tables in one place, and the routes that belong to no room.
 */
#include "app/app.h"
#include "app/pages.h"
#include "base/clock.h"
#include "engine/engine.h"

#include "http/http_static.h"
#include "job.api.h"
#include "modules/analysis/analysis_http.h"
#include "modules/audit/audit_http.h"
#include "modules/campaign/campaign_http.h"
#include "modules/catalog/catalog_http.h"
#include "modules/cohort/cohort_http.h"
#include "modules/coupon/coupon_http.h"
#include "modules/event/event_http.h"
#include "modules/insight/insight_http.h"
#include "modules/order/order_http.h"
#include "modules/person/person_http.h"
#include "modules/staff/staff_http.h"
#include "modules/store/store_http.h"

extern const SqlSchema SETTING_SCHEMA, AUDIT_SCHEMA, STAFF_SCHEMA, STORE_SCHEMA, CATALOG_SCHEMA,
    PERSON_SCHEMA, CAMPAIGN_SCHEMA, COHORT_SCHEMA, COUPON_SCHEMA, ORDER_SCHEMA, INTAKE_SCHEMA,
    REQUEST_SCHEMA, JOB_SCHEMA, OUTBOX_SCHEMA;
extern const ApiContract COMMON_CONTRACT, JOB_CONTRACT, AUDIT_CONTRACT, STAFF_CONTRACT,
    STORE_CONTRACT, CATALOG_CONTRACT, PERSON_CONTRACT, CAMPAIGN_CONTRACT, COHORT_CONTRACT,
    COUPON_CONTRACT, ORDER_CONTRACT, INSIGHT_CONTRACT, ANALYSIS_CONTRACT, EVENT_CONTRACT;

const SqlSchema *const APP_SCHEMAS[] = {
    &REQUEST_SCHEMA, &JOB_SCHEMA,    &OUTBOX_SCHEMA,  &SETTING_SCHEMA, &AUDIT_SCHEMA,
    &STAFF_SCHEMA,   &STORE_SCHEMA,  &CATALOG_SCHEMA, &PERSON_SCHEMA,  &CAMPAIGN_SCHEMA,
    &COHORT_SCHEMA,  &COUPON_SCHEMA, &ORDER_SCHEMA,   &INTAKE_SCHEMA};
const size_t APP_SCHEMA_COUNT = ARRAY_LEN(APP_SCHEMAS);

extern const SchemaMigration APP_MIGRATIONS[];
extern const size_t APP_MIGRATIONS_COUNT;

SchemaSet app_schema_set(void)
{
    return (SchemaSet){.rooms = APP_SCHEMAS,
                       .room_count = APP_SCHEMA_COUNT,
                       .migrations = APP_MIGRATIONS,
                       .migration_count = APP_MIGRATIONS_COUNT};
}

const Door *const APP_DOORS[] = {JOB_DOORS,     AUDIT_DOORS,  STAFF_DOORS,    STORE_DOORS,
                                 CATALOG_DOORS, PERSON_DOORS, CAMPAIGN_DOORS, COHORT_DOORS,
                                 COUPON_DOORS,  ORDER_DOORS,  INSIGHT_DOORS,  ANALYSIS_DOORS,
                                 EVENT_DOORS,   NULL};

const ApiContract *const APP_CONTRACTS[] = {
    &COMMON_CONTRACT,  &JOB_CONTRACT,     &AUDIT_CONTRACT,    &STAFF_CONTRACT,  &STORE_CONTRACT,
    &CATALOG_CONTRACT, &PERSON_CONTRACT,  &CAMPAIGN_CONTRACT, &COHORT_CONTRACT, &COUPON_CONTRACT,
    &ORDER_CONTRACT,   &INSIGHT_CONTRACT, &ANALYSIS_CONTRACT, &EVENT_CONTRACT,  NULL};

/* ---- health and metrics -------------------------------------------------------------------------------- */

static App *running;

void app_routes_use(App *app)
{
    running = app;
    pages_fill();
}

/* Whether tills are served; questions may have to wait. */
static HttpWhen healthz(HttpExchange *x)
{
    static const char *const ENGINE[] = {[COLUMNS_OFF] = "off",
                                         [COLUMNS_CLOSED] = "closed",
                                         [COLUMNS_READING] = "reading",
                                         [COLUMNS_READY] = "ready"};
    const bool good = outbox_behind(running->outbox) == 0;
    x->reply.status = good ? 200 : 503;
    x->reply.content_type = "application/json";
    x->reply.body = arena_printf(x->arena, "{\"ok\":%s,\"engine\":\"%s\"}", good ? "true" : "false",
                                 ENGINE[columns_state(running)]);
    return HTTP_NOW;
}

/* One gauge or counter in Prometheus text. */
static void metric(Buf *out, const char *name, const char *type, const char *help, int64_t v)
{
    buf_addf(out, "# HELP tongdian_%s %s\n# TYPE tongdian_%s %s\ntongdian_%s %" PRId64 "\n", name,
             help, name, type, name, v);
}

static void print_metrics(Buf *out)
{
    DatabaseStats d;
    HttpStats h;
    EventsStat e;
    database_stats(running->database, &d);
    http_stats(request_http(running->server), &h);
    events_stat(running->log, &e);
    const int64_t waited_ms = e.erase_since_ms == 0 ? 0 : clock_now_ms() - e.erase_since_ms;
    const struct {
        const char *name, *type, *help;
        int64_t v;
    } rows[] = {
        {"http_connections", "gauge", "Open connections.", h.connections},
        {"http_requests_total", "counter", "Requests.", h.requests},
        {"http_refused_framing_total", "counter", "Refused: broken framing.", h.refused_framing},
        {"http_refused_limit_total", "counter", "Refused: over a limit.", h.refused_limit},
        {"http_timed_out_total", "counter", "Cut at a deadline.", h.timed_out},
        {"db_groups_total", "counter", "Commits.", d.groups},
        {"db_writes_total", "counter", "Transactions.", d.writes},
        {"db_replays_total", "counter", "Groups run again one by one.", d.replays},
        {"db_wal_bytes", "gauge", "Size of the write-ahead log.", d.wal_bytes},
        {"db_checkpoints_total", "counter", "Checkpoints.", d.checkpoints},
        {"db_slow_applies_total", "counter", "Applies over 500 us.", d.slow_applies},
        {"db_queue_depth", "gauge", "Writes that wait.", d.queue_depth},
        {"events", "gauge", "Events in the log.", e.events},
        {"events_unsynced_bytes", "gauge", "Bytes not yet synced.", e.unsynced_bytes},
        {"events_erasures_waiting", "gauge", "Actors whose erased events are still in the log.",
         e.erase_waiting},
        {"events_erasures_waiting_seconds", "gauge", "How long the first of them has waited.",
         waited_ms / 1000},
        {"events_erase_unread_segments", "gauge",
         "Segments that erasing could not read or write: those who wait, wait on.", e.erase_unread},
        {"events_erase_ledger_full", "gauge", "1: who asks to be erased waits for room.",
         e.erase_full},
        {"outbox_behind", "gauge", "Outbox rows not yet in the log.",
         outbox_behind(running->outbox)},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        metric(out, rows[i].name, rows[i].type, rows[i].help, rows[i].v);
    request_metrics(running->server, out);
}

static void print_engine_metrics(Engine *engine, Buf *out)
{
    EngineHealth h;
    EventsStat log;
    events_stat(running->log, &log);
    engine_health(engine, &h);
    const uint64_t next_seq = engine_next_seq(engine);
    metric(out, "engine_behind", "gauge", "Events of the log that it has not read yet.",
           log.next_seq > next_seq ? (int64_t)(log.next_seq - next_seq) : 0);
    const int64_t waited_ms = h.erased_since_ms == 0 ? 0 : clock_now_ms() - h.erased_since_ms;
    metric(out, "engine_erasures_waiting", "gauge",
           "Erased actors of whom something may be left in files of columns.", h.erased_waiting);
    metric(out, "engine_erasures_waiting_seconds", "gauge",
           "How long the first of them has waited.", waited_ms / 1000);
    metric(out, "engine_files_damaged", "gauge", "Files of columns that wait to be made again.",
           h.files_damaged);
    metric(out, "engine_files_aside", "gauge",
           "Files of columns that are left alone after a failure.", h.files_aside);
    metric(out, "engine_failed_merges_total", "counter", "Merges of columns that failed.",
           (int64_t)h.failed_merges);
    metric(out, "engine_mended_files_total", "counter", "Damaged files of columns made again.",
           (int64_t)h.mended_files);
    metric(out, "engine_kept_aside_total", "counter",
           "Events and values that are in the log only: GET /v1/properties?aside=true says which.",
           (int64_t)h.kept_aside);
}

static HttpWhen metrics(HttpExchange *x)
{
    Buf text = BUF_MAX(4 << 20);
    print_metrics(&text);
    Engine *const engine = running->engine;
    metric(&text, "engine_closed", "gauge",
           "1: the event engine cannot be opened, and is tried again; the log says why.",
           columns_state(running) == COLUMNS_CLOSED);
    if (engine != NULL)
        print_engine_metrics(engine, &text);
    x->reply.status = 200;
    x->reply.content_type = "text/plain; version=0.0.4";
    x->reply.body = arena_copy(x->arena, buf_str(&text));
    buf_free(&text);
    return HTTP_NOW;
}

/* The contract is inside the program also when the pages come from a folder. */
static HttpWhen openapi(HttpExchange *x)
{
    const HttpStatic contract = {.files = APP_PAGES, .count = APP_PAGES_COUNT};
    return http_static_serve(&contract, x);
}

const HttpRoute APP_EXTRA_ROUTES[] = {
    {.method = HTTP_GET, .path = "/openapi.json", .handle = openapi},
    {.method = HTTP_GET, .path = "/healthz", .handle = healthz},
    {.method = HTTP_GET, .path = "/metrics", .handle = metrics},
    {0}};

/* ---- pages --------------------------------------------------------------------------------------------- */

HttpWhen app_static(HttpExchange *x)
{
    const HttpStatic site = {
        .files = APP_PAGES, .count = APP_PAGES_COUNT, .folder = str_of(running->config.web)};
    return http_static_serve(&site, x);
}
