/*
 * app/cmd_events_import.h -- the part of `tongdian events` that brings history in.
 */
#pragma once

#include "app/app.h"

/* argv[0] is the command's name, the rest its words.  Gives the process's status: 0 = all is in, 3 = but for lines
 * that were refused, 1 = failed or stopped, 2 = the words are wrong. */
int cmd_events_import(const Config *config, int argc, char **argv);
