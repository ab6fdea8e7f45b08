/*
 * app/cmd_events_stat.h -- `tongdian events stat`: what the log and its columns hold, also beside a running server.
 */
#pragma once

#include "app/app.h"
#include "events/events.h"

/* Its words behind `stat`; the exit status. */
int cmd_events_stat(Config *config, int argc, char **argv);

/* How columns that cannot be read come back; cmd_events.c. */
void events_say_cure(const App *app);

/* Who waits to be erased; cmd_events.c. */
void events_print_erasures(App *app, const EventsStat *log);
