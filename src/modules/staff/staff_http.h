/*
 * modules/staff/staff_http.h -- the doors of this room, and who sends a request.
 *
 * A person has the cookie "td_session" (HttpOnly, SameSite=Strict) and sends the CSRF token of
 * GET /v1/session as X-CSRF-Token with everything that is not a GET; a machine sends
 * `Authorization: Bearer td_...`.
 */
#pragma once

#include "request/request.h"

extern const Door STAFF_DOORS[];

/* An AuthenticateFn: UNAUTHENTICATED "auth.session", "auth.key", DENIED "auth.csrf". */
Err staff_authenticate(Ctx *ctx, const HttpExchange *x, const Principal **out, void *arg);
