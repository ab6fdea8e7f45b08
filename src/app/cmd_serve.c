/*
 * app/cmd_serve.c -- `tongdian serve`: until SIGINT or SIGTERM.
 */
#include "app/app.h"

#include "base/log.h"

#include <pthread.h>
#include <signal.h>

/* Blocks the stop signals in every thread that is started after this. */
static void block_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGTERM);
    CHECK(pthread_sigmask(SIG_BLOCK, set, NULL) == 0);
}

int serve_until_stopped(const Config *config, void (*ready)(const App *app))
{
    sigset_t stop;
    int signal_number = 0;
    block_signals(&stop);
    App app;
    if (!app_open(&app, config, BOOT_WRITE))
        return 1;
    if (!app_serve(&app)) {
        app_close(&app);
        return 1;
    }
    if (ready != NULL)
        ready(&app);
    while (sigwait(&stop, &signal_number) != 0) {
    }
    LOG(LOG_INFO, "server.stopping", LOG_I64("signal", signal_number));
    app_close(&app);
    return 0;
}

int cmd_serve(Config *config, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return serve_until_stopped(config, NULL);
}
