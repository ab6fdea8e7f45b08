/*
 * app/cmd_tls.c -- `tongdian tls init` and `tongdian tls renew`: HTTPS without anybody else's
 * authority, because cameras and offline pages need it.
 */
#include "app/app.h"
#include "app/args.h"
#include "app/tls_authority.h"
#include "base/clock.h"

#include <stdio.h>

/* "till.example,192.168.1.5" */
static Err add_listed(Ctx *ctx, TlsHosts *hosts, Str list)
{
    for (size_t at = 0; at < list.len;) {
        const int64_t comma = str_index(list, ',', at);
        const size_t end = comma < 0 ? list.len : (size_t)comma;
        TRY(tls_hosts_add(ctx, hosts, str_slice(list, at, end)));
        at = end + 1;
    }
    return ERR_OK;
}

static Err init(Ctx *ctx, Str folder, Str listed, TlsHosts *hosts)
{
    TRY(add_listed(ctx, hosts, listed));
    TRY(tls_hosts_add_local(ctx, hosts));
    TRY(tls_authority_make(ctx, folder, hosts));
    return tls_server_make(ctx, folder, hosts);
}

/* The same hosts, those named now, and the addresses that the machine has today. */
static Err renew(Ctx *ctx, Str folder, Str listed, TlsHosts *hosts)
{
    TRY(tls_server_hosts(ctx, folder, hosts));
    TRY(add_listed(ctx, hosts, listed));
    TRY(tls_hosts_add_local(ctx, hosts));
    return tls_server_make(ctx, folder, hosts);
}

static const struct {
    const char *word;
    Err (*run)(Ctx *ctx, Str folder, Str listed, TlsHosts *hosts);
} WORDS[] = {{"init", init}, {"renew", renew}};

static void explain(Ctx *ctx, Str folder, const TlsHosts *hosts)
{
    Str fingerprint = STR("");
    printf("The server's certificate is good for %d days, for:\n", TLS_SERVER_DAYS);
    for (size_t i = 0; i < hosts->count; i++)
        printf("  %s\n", hosts->name[i]);
    if (tls_authority_fingerprint(ctx, folder, &fingerprint) == ERR_OK)
        printf("\nFingerprint of the authority (SHA-256):\n  %.*s\n", STR_ARG(fingerprint));
    printf("\nServe with it, and show phones how to trust it:\n"
           "  tongdian serve --listen 0.0.0.0:8443 --tls-cert %.*s/server.pem \\\n"
           "    --tls-key %.*s/server.key --trust-listen 0.0.0.0:8081\n"
           "Then open http://ADDRESS:8081/trust on each phone, once.\n\n"
           "Keep %.*s/authority.key to yourself: whoever has it can pose as this server.\n"
           "Run `tongdian tls renew` once a year and start the server again.\n",
           STR_ARG(folder), STR_ARG(folder), STR_ARG(folder));
}

static Str folder_of(Arena *arena, const Config *config, const char *out)
{
    Str data = str_of(config->data);
    if (out != NULL)
        return str_of(out);
    while (data.len > 1 && data.ptr[data.len - 1] == '/')
        data.len--;
    return arena_printf(arena, "%.*s-tls", STR_ARG(data));
}

int cmd_tls(Config *config, int argc, char **argv)
{
    static const ArgOption OPTIONS[] = {{"--host", true}, {"--out", true}};
    const char *value[ARRAY_LEN(OPTIONS)];
    Args args;
    size_t word = 0;
    if (!args_read(argc, argv, OPTIONS, ARRAY_LEN(OPTIONS), value, &args))
        return 2;
    while (args.rest_count == 1 && word < ARRAY_LEN(WORDS) &&
           !str_eq(str_of(WORDS[word].word), str_of(args.rest[0])))
        word++;
    if (args.rest_count != 1 || word == ARRAY_LEN(WORDS)) {
        fprintf(stderr, "Usage: tongdian tls init | renew [--host NAME,ADDRESS...] [--out DIR]\n");
        return 2;
    }
    App app = {.config = *config, .arena = arena_new(1 << 16)};
    app.ctx = (Ctx){.arena = app.arena, .now_ms = clock_now_ms()};
    TlsHosts *hosts = ARENA_NEW(app.arena, TlsHosts);
    const Str folder = folder_of(app.arena, config, value[1]);
    const Err err = WORDS[word].run(&app.ctx, folder, str_of(value[0]), hosts);
    if (err == ERR_OK)
        explain(&app.ctx, folder, hosts);
    else
        app_complain(&app, "making certificates");
    arena_free(app.arena);
    return err == ERR_OK ? 0 : 1;
}
