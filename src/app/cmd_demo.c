/*
 * app/cmd_demo.c -- `tongdian demo`: a real chain's year (84.51 Complete Journey, CC0) to look at.
 *
 * Imports it once, makes an account and a coupon to claim, and serves.  What is added beside the data (an
 * account, a template) is no person, sale or redemption, so every published count stays exact; what a
 * visitor does later is told apart by its date.
 */
#include "app/cmd_import.h"

#include "app/args.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rand.h"
#include "modules/coupon/coupon.h"
#include "modules/insight/insight.h"
#include "modules/order/order.h"
#include "modules/staff/staff.h"

#include <limits.h>
#include <unistd.h>

#define DEMO_NAME "Complete Journey"
enum { FIRST_DAY = 20170101, END_DAY = 20180201, CHAIN_KINDS = 3 };

enum { ONCE, SOURCE, MAP, OPTION_COUNT };
static const ArgOption OPTIONS[OPTION_COUNT] = {
    [ONCE] = {"--once", false}, [SOURCE] = {"--source", true}, [MAP] = {"--map", true}};

/* ---- where the data is ----------------------------------------------------------------------------- */

/* Looks in the current folder (a clone), then beside the program (installed). */
static Str find_shipped(Arena *arena, const char *name)
{
    char self[PATH_MAX];
    if (access(name, R_OK) == 0)
        return str_of(name);
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    Str folder = n > 0 ? arena_copy(arena, (Str){self, (size_t)n}) : STR("");
    while (folder.len > 0 && folder.ptr[folder.len - 1] != '/')
        folder.len--;
    const Str there = arena_printf(arena, "%.*s../share/tongdian/%s", STR_ARG(folder), name);
    return access(there.ptr, R_OK) == 0 ? there : str_of(name);
}

/* The data that belongs to a map: of maps/x.yaml, data/x. */
static Str data_of(Arena *arena, Str map)
{
    size_t at = map.len;
    while (at > 0 && map.ptr[at - 1] != '/')
        at--;
    return arena_printf(arena, "%.*s../data/completejourney", STR_ARG(str_slice(map, 0, at)));
}

static bool import_demo(App *app, const Args *args)
{
    const IntakeMap *map = NULL;
    IntakeResult result;
    const char *map_path = args->value[MAP] != NULL
                               ? args->value[MAP]
                               : find_shipped(app->arena, "maps/completejourney.yaml").ptr;
    const char *source = args->value[SOURCE] != NULL ? args->value[SOURCE]
                                                     : data_of(app->arena, str_of(map_path)).ptr;
    const char *rejects = arena_printf(app->arena, "%s.rejects.csv", app->config.data).ptr;
    if (!import_load_map(&app->ctx, map_path, &map))
        return false;
    if (access(source, R_OK) != 0) {
        fprintf(stderr, "tongdian: there is no demo data in %s: name its folder with --source\n",
                source);
        return false;
    }
    const int64_t from_us = clock_mono_us();
    printf("Importing the demo's data (a grocery chain's year 2017) ...\n");
    (void)fflush(stdout);
    if (!import_files(app, map, source, rejects, &result))
        return false;
    import_print(app->arena, &result, stdout);
    if (import_rejected(&result) > 0)
        printf("Rejected rows are listed in %s.\n", rejects);
    printf("Imported in %.1f s.\n\n", (double)(clock_mono_us() - from_us) / 1e6);
    return true;
}

/* ---- the counts ------------------------------------------------------------------------------------ */

typedef enum CountKind { COUNT, MONEY, RATE } CountKind;

typedef struct Count {
    const char *what;
    CountKind kind;
    int64_t got, want;
} Count;

/* Sales of the data's own days: what a visitor sells in the demo is of today. */
static Err sum_days(Ctx *ctx, OrderDay *sum)
{
    OrderDay *days = NULL;
    size_t n = 0;
    *sum = (OrderDay){0};
    TRY(order_days(ctx, FIRST_DAY, END_DAY, &days, &n));
    for (size_t i = 0; i < n; i++) {
        sum->sales += days[i].sales;
        sum->net_fen += days[i].net_fen;
        sum->retail_discount_fen += days[i].retail_discount_fen;
        sum->coupon_discount_fen += days[i].coupon_discount_fen;
        sum->match_discount_fen += days[i].match_discount_fen;
    }
    return ERR_OK;
}

static Err sum_redemptions(Ctx *ctx, int64_t *redeemed)
{
    CouponDay *days = NULL;
    size_t n = 0;
    *redeemed = 0;
    TRY(coupon_days(ctx, FIRST_DAY, END_DAY, &days, &n));
    for (size_t i = 0; i < n; i++)
        *redeemed += days[i].totals.redeemed;
    return ERR_OK;
}

static Err kinds_of(Ctx *ctx, CampaignKind kinds[CHAIN_KINDS])
{
    CampaignResult *results = NULL;
    CampaignKind *found = NULL;
    size_t n = 0;
    TRY(insight_campaigns(ctx, &results, &n));
    n = insight_kinds(ctx->arena, results, n, &found);
    for (size_t i = 0; i < CHAIN_KINDS; i++)
        kinds[i] = i < n ? found[i] : (CampaignKind){0};
    return ERR_OK;
}

enum { COUNTS_MAX = 32 };

static void add_kind(Count *c, size_t *n, const CampaignKind *k, const Count want[3])
{
    c[*n] = want[0];
    c[(*n)++].got = k->targets;
    c[*n] = want[1];
    c[(*n)++].got = k->redeemers;
    c[*n] = want[2];
    c[(*n)++].got = insight_rate_bps(k->redeemers, k->targets);
}

static Err count_all(Ctx *ctx, Count *c, size_t *n)
{
    static const Count KINDS[CHAIN_KINDS][3] = {{{"type A: household-campaigns", COUNT, 0, 3647},
                                                 {"type A: redeemed", COUNT, 0, 604},
                                                 {"type A: rate", RATE, 0, 1656}},
                                                {{"type B: household-campaigns", COUNT, 0, 2368},
                                                 {"type B: redeemed", COUNT, 0, 154},
                                                 {"type B: rate", RATE, 0, 650}},
                                                {{"type C: household-campaigns", COUNT, 0, 574},
                                                 {"type C: redeemed", COUNT, 0, 34},
                                                 {"type C: rate", RATE, 0, 592}}};
    OrderDay sales;
    OrderSums orders;
    CouponSums coupons;
    CampaignKind kinds[CHAIN_KINDS];
    int64_t redeemed = 0, targetings = 0, targeted = 0, untargeted = 0, undated = 0;
    TRY(sum_days(ctx, &sales));
    TRY(order_sums(ctx, &orders));
    TRY(coupon_sums(ctx, &coupons));
    TRY(sum_redemptions(ctx, &redeemed));
    TRY(campaign_target_total(ctx, &targetings, &targeted));
    TRY(intake_strays(ctx, &untargeted, &undated));
    TRY(kinds_of(ctx, kinds));
    const Count plain[] = {
        {"households that bought", COUNT, orders.people, 2377},
        {"shops", COUNT, orders.stores, 293},
        {"baskets", COUNT, sales.sales, 47243},
        {"sales", MONEY, sales.net_fen, 23393524},
        {"retail discount", MONEY, sales.retail_discount_fen, 4018091},
        {"coupon discount", MONEY, sales.coupon_discount_fen, 135671},
        {"coupon match discount", MONEY, sales.match_discount_fen, 24210},
        {"households targeted", COUNT, targeted, 1559},
        {"households that redeemed", COUNT, coupons.redeemers, 410},
        {"coupons redeemed", COUNT, redeemed, 2102},
        {"redemptions by others than targets", COUNT, untargeted, 0},
        {"redemptions outside the dates", COUNT, undated, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        c[(*n)++] = plain[i];
    for (size_t i = 0; i < CHAIN_KINDS; i++)
        add_kind(c, n, &kinds[i], KINDS[i]);
    return ERR_OK;
}

static Str text_of(const App *app, CountKind kind, int64_t v)
{
    if (kind == MONEY)
        return terminal_money(app->arena, v, app->settings.exponent);
    return kind == RATE ? terminal_rate(app->arena, v) : terminal_count(app->arena, v);
}

/* True when every count is what the data's publisher says. */
static bool print_counts(App *app)
{
    Count counts[COUNTS_MAX];
    size_t n = 0, off = 0;
    if (count_all(&app->ctx, counts, &n) != ERR_OK) {
        app_complain(app, "counting");
        return false;
    }
    Table t = table_new(app->arena, "|>counted|>published|");
    for (size_t i = 0; i < n; i++) {
        const bool right = counts[i].got == counts[i].want;
        table_add(&t, str_of(counts[i].what));
        table_add(&t, text_of(app, counts[i].kind, counts[i].got));
        table_add(&t, text_of(app, counts[i].kind, counts[i].want));
        table_add(&t, right ? STR("ok") : STR("OFF"));
        off += !right;
    }
    table_print(&t, stdout);
    if (off == 0)
        printf("\nAll %zu counts are exact.\n", n);
    else
        printf(
            "\n%zu of %zu counts are off%s\n", off, n,
            counts[0].got > counts[0].want || counts[8].got > counts[8].want
                ? ": people have used this demo; `tongdian demo --once --data NEW` starts afresh."
                : ".");
    return off == 0;
}

/* ---- beside the data --------------------------------------------------------------------------------- */

typedef struct Extras {
    Staff owner;
    Str hash;
    CouponTemplate welcome;
    Settings settings;
} Extras;

/* The chain's name is the last thing to be set: with it the demo is complete. */
static Err extras_body(Tx *tx, void *arg)
{
    Extras *e = arg;
    int64_t known = 0;
    if (e->hash.len > 0)
        TRY(staff_create(tx, &e->owner, e->hash, &e->owner.id));
    TRY(coupon_template_by_code(tx->ctx, e->welcome.code, &known));
    if (known == 0)
        TRY(coupon_template_create(tx, &e->welcome, &e->welcome.id));
    return setting_save(tx, &e->settings);
}

static Err has_login(Ctx *ctx, Str login, bool *out)
{
    Staff *staff = NULL;
    size_t n = 0;
    TRY(staff_list(ctx, &staff, &n));
    *out = false;
    for (size_t i = 0; i < n; i++)
        *out = *out || str_eq(staff[i].login, login);
    return ERR_OK;
}

static Str folder_of(Arena *arena, Str path, Str *name)
{
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    size_t at = path.len;
    while (at > 0 && path.ptr[at - 1] != '/')
        at--;
    *name = arena_printf(arena, "%.*s.login", STR_ARG(str_slice(path, at, path.len)));
    return at == 0 ? STR(".") : arena_copy(arena, str_slice(path, 0, at));
}

/* The password is kept beside the folder (0600), so that a restart can show it again. */
static Err keep_password(App *app, Str password)
{
    Str name;
    const Str folder = folder_of(app->arena, str_of(app->config.data), &name);
    return file_replace(&app->ctx, folder, name, password);
}

static bool load_password(App *app, Str *password)
{
    Str name;
    const Str folder = folder_of(app->arena, str_of(app->config.data), &name);
    return file_load(&app->ctx, folder, name, STAFF_PASSWORD_BYTES_MAX, password) == ERR_OK;
}

/* A coupon that is claimable from now on for a year; through the room's ordinary door. */
static CouponTemplate welcome_coupon(const Ctx *ctx)
{
    const int64_t year_ms = INT64_C(365) * 86400000;
    return (CouponTemplate){.code = STR("WELCOME"),
                            .name = STR("Welcome: 5.00 off from 20.00"),
                            .kind = COUPON_AMOUNT,
                            .amount_fen = 500,
                            .min_spend_fen = 2000,
                            .claim_from_ms = ctx->now_ms,
                            .claim_to_ms = ctx->now_ms + year_ms,
                            .valid_from_ms = ctx->now_ms,
                            .valid_to_ms = ctx->now_ms + year_ms,
                            .valid_days = 30,
                            .stock = 1000,
                            .per_person = 1};
}

static Err add_extras(App *app)
{
    Ctx *ctx = &app->ctx;
    bool known = false;
    Extras e = {.owner = {.login = STR("demo"), .name = STR("Demo"), .role = STR("owner")},
                .welcome = welcome_coupon(ctx),
                .settings = app->settings};
    (void)snprintf(e.settings.name, sizeof e.settings.name, "%s", DEMO_NAME);
    TRY(has_login(ctx, e.owner.login, &known));
    if (!known) {
        const Str password = rand_token(app->arena, 12);
        TRY(staff_password_prepare(ctx, e.owner.login, password, &e.hash));
        TRY(keep_password(app, password)); /* before the account: a crash here loses nothing */
    }
    TRY(database_write(app->database, ctx, "demo.extras", extras_body, &e));
    app->settings = e.settings;
    return ERR_OK;
}

/* ---- serving ------------------------------------------------------------------------------------------- */

static void print_where(const App *app)
{
    App copy = *app; /* reading the password file needs a Ctx to fail in */
    Str password = STR("(as you have set it)");
    (void)load_password(&copy, &password);
    const char *scheme = app->config.tls_cert[0] != '\0' ? "https" : "http";
    const char *at = app->config.listen;
    printf(
        "\nTongdian is running; Ctrl-C stops it.\n\n"
        "  Console   %s://%s/\n"
        "  Counter   %s://%s/counter/\n"
        "  Login     demo\n"
        "  Password  %.*s\n\n"
        "Try this at the counter: type a mobile number such as 13800138000, enrol it, give it the\n"
        "coupon WELCOME, then redeem it with a sale of 20.00 or more: by its code, or by the phone\n"
        "number alone.  In the console see it in the overview; `tongdian report --data %s` shows\n"
        "the campaigns in this terminal; README.md shows how to ask about its events.\n",
        scheme, at, scheme, at, STR_ARG(password), app->config.data);
    (void)fflush(stdout);
}

static bool prepare(const Config *config, const Args *args)
{
    App app;
    bool done = true;
    if (!app_open(&app, config, BOOT_WRITE))
        return false;
    if (!str_eq(str_of(app.settings.name), STR(DEMO_NAME)))
        done = import_demo(&app, args);
    if (done && add_extras(&app) != ERR_OK) {
        app_complain(&app, "preparing the demo");
        done = false;
    }
    if (done && args->value[ONCE] != NULL)
        done = print_counts(&app);
    app_close(&app);
    return done;
}

int cmd_demo(Config *config, int argc, char **argv)
{
    const char *value[OPTION_COUNT];
    Args args;
    if (!args_read(argc, argv, OPTIONS, OPTION_COUNT, value, &args))
        return 2;
    if (args.rest_count != 0) {
        fprintf(stderr, "Usage: tongdian demo [--once] [--data DIR] [--source DIR] [--map FILE]\n");
        return 2;
    }
    if (config_is_default(config, "data"))
        config->data = "demo-data";
    if (!prepare(config, &args))
        return 1;
    return args.value[ONCE] != NULL ? 0 : serve_until_stopped(config, print_where);
}
