/*
 * http/http_client.h -- for tests: a blocking client that sends any bytes and hears everything.
 *
 * Replies live in the arena given.  Threads: any, one arena each.
 */
#pragma once

#include "base/arena.h"
#include "base/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENT_PATIENCE_MS = 8000 };

static inline int client_dial(int port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) == 0);
    const struct timeval patience = {.tv_sec = CLIENT_PATIENCE_MS / 1000};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    return fd;
}

static inline void client_say(int fd, Str text)
{
    while (text.len > 0) {
        const ssize_t n = send(fd, text.ptr, text.len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server may have hung up: what it said shows that */
        text = str_slice(text, (size_t)n, text.len);
    }
}

/* Everything until the server closes (a reset counts as one), or "(open)" behind it after PATIENCE.
 * */
static inline const char *client_hear_all(Arena *arena, int fd)
{
    Buf b = BUF_MAX(32 << 20);
    for (;;) {
        char *at = buf_reserve(&b, 65536);
        CHECK(at != NULL);
        const ssize_t n = recv(fd, at, 65536, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            buf_add(&b, STR("(open)"));
        if (n <= 0)
            break;
        b.len += (size_t)n;
    }
    const Str all = arena_copy(arena, buf_str(&b));
    buf_free(&b);
    (void)close(fd);
    return all.ptr;
}

/* One reply with a Content-Length from an open connection. */
static inline Str client_hear_reply(Arena *arena, int fd)
{
    char *b = arena_bytes(arena, 1 << 16);
    size_t n = 0, want = SIZE_MAX;
    while (n < want && n < (1 << 16) - 1) {
        const ssize_t got = recv(fd, b + n, want == SIZE_MAX ? 1 : want - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        if (want == SIZE_MAX && n >= 4 && memcmp(b + n - 4, "\r\n\r\n", 4) == 0) {
            b[n] = '\0';
            const char *length = strstr(b, "Content-Length: ");
            want = n + (length == NULL ? 0 : (size_t)strtol(length + 16, NULL, 10));
        }
    }
    b[n] = '\0';
    return (Str){b, n};
}

static inline const char *client_body(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n");
    return end == NULL ? "(no body)" : end + 4;
}

static inline int client_status(const char *reply)
{
    return strncmp(reply, "HTTP/1.1 ", 9) == 0 ? (int)strtol(reply + 9, NULL, 10) : -1;
}
