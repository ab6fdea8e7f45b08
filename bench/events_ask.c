/*
 * bench/events_ask.c -- asks an HTTP server on this machine over one kept connection, and says what it took.
 *
 * A question is one line: a path, a space, the body of a POST.  The answer is a line of JSON, "status", "ms" from the
 * first byte sent to the last one received, "cpu_ms" that the process PID spent meanwhile, "bytes", and then so many
 * bytes.  A connection that the server has closed in between is made anew before the clock starts.
 */
#include "events_bench.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_BYTES_MAX = 256 << 20, READ_BYTES = 1 << 16, LINE_BYTES_MAX = 4 << 20 };

typedef struct Asker {
    int fd; /* -1 = not connected */
    uint16_t port;
    clockid_t clock; /* of the server's process */
    Buf headers, out, in, body;
} Asker;

/* ---- the connection ------------------------------------------------------------------------------ */

static void dial(Asker *a)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons(a->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int yes = 1;
    a->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (a->fd < 0 || connect(a->fd, (const struct sockaddr *)(const void *)&to, sizeof to) != 0)
        die("the server cannot be reached");
    (void)setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static void make_sure_of_connection(Asker *a)
{
    char byte;
    if (a->fd >= 0 && recv(a->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        (void)close(a->fd);
        a->fd = -1;
    }
    if (a->fd < 0)
        dial(a);
}

static void send_all(Asker *a)
{
    for (size_t sent = 0; sent < a->out.len;) {
        const ssize_t n = send(a->fd, a->out.ptr + sent, a->out.len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            die("the server has hung up");
        sent += (size_t)n;
    }
}

static void receive_more(Asker *a)
{
    char *at = buf_reserve(&a->in, READ_BYTES);
    const ssize_t n = at == NULL ? 0 : recv(a->fd, at, READ_BYTES, 0);
    if (n <= 0)
        die("the server has hung up before the end of its reply");
    a->in.len += (size_t)n;
}

/* ---- replies ------------------------------------------------------------------------------------- */

typedef struct Head {
    int64_t status, length; /* length < 0: in chunks */
    size_t bytes;
} Head;

static size_t line_end(Asker *a, size_t from)
{
    for (size_t i = from;; i++) {
        while (i + 1 >= a->in.len)
            receive_more(a);
        if (a->in.ptr[i] == '\r' && a->in.ptr[i + 1] == '\n')
            return i;
    }
}

static bool header_is(Str line, const char *name, Str *value)
{
    const size_t n = str_of(name).len;
    if (line.len <= n || line.ptr[n] != ':')
        return false;
    for (size_t i = 0; i < n; i++)
        if ((line.ptr[i] | 32) != name[i])
            return false;
    *value = str_trim(str_slice(line, n + 1, line.len));
    return true;
}

static Head read_head(Asker *a)
{
    Head head = {.length = -1};
    size_t end = line_end(a, 0);
    if (end < 12 || !str_to_i64(str_slice(buf_str(&a->in), 9, 12), &head.status))
        die("the reply is no HTTP");
    for (size_t from = end + 2;; from = end + 2) {
        Str value;
        end = line_end(a, from);
        const Str line = str_slice(buf_str(&a->in), from, end);
        if (line.len == 0) {
            head.bytes = end + 2;
            return head;
        }
        if (header_is(line, "content-length", &value) && !str_to_i64(value, &head.length))
            die("the reply has no length");
    }
}

static int64_t hex_number(Str text)
{
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char c = (char)(text.ptr[i] | 32);
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            break;
        n = n * 16 + digit;
    }
    return n;
}

static void take_bytes(Asker *a, size_t from, size_t n)
{
    while (a->in.len < from + n)
        receive_more(a);
    buf_add(&a->body, str_slice(buf_str(&a->in), from, from + n));
}

static void read_chunks(Asker *a, size_t at)
{
    for (;;) {
        const size_t end = line_end(a, at);
        const size_t n = (size_t)hex_number(str_slice(buf_str(&a->in), at, end));
        take_bytes(a, end + 2, n);
        at = line_end(a, end + 2 + n) + 2;
        if (n == 0)
            return;
    }
}

static int64_t read_reply(Asker *a)
{
    buf_clear(&a->in);
    buf_clear(&a->body);
    const Head head = read_head(a);
    if (head.length < 0)
        read_chunks(a, head.bytes);
    else
        take_bytes(a, head.bytes, (size_t)head.length);
    return head.status;
}

/* ---- asking -------------------------------------------------------------------------------------- */

static double server_cpu_ms(const Asker *a)
{
    struct timespec t;
    return clock_gettime(a->clock, &t) == 0 ? (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6 : 0;
}

static void ask_one(Asker *a, Str line)
{
    const int64_t space = str_index(line, ' ', 0);
    const size_t path = space < 0 ? line.len : (size_t)space;
    const Str body = str_slice(line, path + 1, line.len);
    buf_clear(&a->out);
    buf_addf(&a->out, "POST %.*s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%.*s",
             STR_ARG(str_slice(line, 0, path)), a->port, STR_ARG(buf_str(&a->headers)));
    buf_addf(&a->out, "Content-Length: %zu\r\n\r\n", body.len);
    buf_add(&a->out, body);
    make_sure_of_connection(a);
    const double cpu_from_ms = server_cpu_ms(a);
    const int64_t from_us = clock_mono_us();
    send_all(a);
    const int64_t status = read_reply(a);
    const int64_t took_us = clock_mono_us() - from_us;
    printf("{\"status\":%" PRId64 ",\"ms\":%.3f,\"cpu_ms\":%.3f,\"bytes\":%zu}\n", status,
           (double)took_us / 1e3, server_cpu_ms(a) - cpu_from_ms, a->body.len);
    (void)fwrite(a->body.ptr, 1, a->body.len, stdout);
    (void)fflush(stdout);
}

void bench_ask(Ctx *ctx, uint16_t port, int32_t pid, char **headers, int header_count)
{
    (void)ctx;
    Asker a = {.fd = -1,
               .port = port,
               .headers = BUF_MAX(1 << 16),
               .out = BUF_MAX(LINE_BYTES_MAX + (1 << 17)),
               .in = BUF_MAX(REPLY_BYTES_MAX),
               .body = BUF_MAX(REPLY_BYTES_MAX)};
    char *line = NULL;
    size_t room = 0;
    if (clock_getcpuclockid(pid, &a.clock) != 0)
        die("there is no such process");
    for (int i = 0; i < header_count; i++)
        buf_addf(&a.headers, "%s\r\n", headers[i]);
    while (getline(&line, &room, stdin) > 0)
        ask_one(&a, str_trim(str_of(line)));
    free(line);
    buf_free(&a.headers);
    buf_free(&a.out);
    buf_free(&a.in);
    buf_free(&a.body);
}
