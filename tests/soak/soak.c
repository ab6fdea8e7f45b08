/*
 * tests/soak/soak.c -- drives a running server over loopback and proves that every request got
 * exactly one well-formed reply with an expected status.
 *
 *     soak --port P --script FILE [--connections N] [--requests M] [--slow K] [--header "K: v"]...
 *          [--idempotency 1] [--timeout-ms T] [--seconds-max S] [--rate R]
 *          [--base B]
 *
 * A script has one request per line: METHOD PATH STATUS[,STATUS...] [BODY].  Requests go round the
 * lines in order; a line that stands there twice is sent twice as often.  In PATH and BODY, $N is
 * the number of the request from 0 (8 digits), $I the same from 1 without zeros in front, $P a
 * place of its own from 1 to --requests in no order (--base is added to both), and $U a fresh UUIDv7.  Lines "header K: v" hold for all
 * requests; '#' starts a comment.  --slow adds clients that send one byte of a head per second
 * beside the load.
 * With --rate, R requests per second are due whether or not the server keeps up, and a latency counts
 * from the moment that its request was due; without it each connection asks again at once.
 * Exit status: 0 when nothing is missing, malformed or unexpected.  One thread, bounded in time.
 */
#include "base/clock.h"
#include "base/rand.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STEPS_MAX = 1000,
    STATUSES_MAX = 8,
    IN_BYTES_MAX = 64 << 20,
    OUT_BYTES_MAX = 8 << 20,
    BUCKETS_PER_OCTAVE = 64,
    OCTAVES = 40,
    COMPLAINTS_MAX = 20
};

typedef struct Step {
    Str method, path, body;
    int status[STATUSES_MAX];
    int statuses;
} Step;

typedef struct Conn {
    int fd; /* -1 = not connected */
    bool slow, busy, wants_write;
    const Step *step;
    Buf out, in;
    size_t sent;
    int64_t started_us;
    int64_t next_byte_us;
} Conn;

static struct {
    int port, connections, slow, timeout_ms, seconds_max, idempotency, rate;
    int64_t requests, base;
} options = {.connections = 64, .timeout_ms = 30000, .seconds_max = 600, .requests = 10000};

static struct {
    int64_t sent, replied, lost, malformed, unexpected, connects, refused, slow_cut;
    int64_t by_status[600];
    int64_t bucket[BUCKETS_PER_OCTAVE * OCTAVES];
    int64_t worst_us;
} count;

static Step steps[STEPS_MAX];
static int step_count;
static Buf extra_headers = {.max_bytes = 65536};
static int epoll_fd;
static int64_t began_us;

static void complain(const char *what, const Conn *c)
{
    static int complaints;
    if (complaints++ < COMPLAINTS_MAX)
        fprintf(stderr, "%s: %.*s %.*s -> %.*s\n", what, STR_ARG(c->step->method),
                STR_ARG(c->step->path), (int)(c->in.len < 300 ? c->in.len : 300),
                c->in.ptr == NULL ? "" : c->in.ptr);
}

/* ---- latencies: log-linear buckets, 1.6 % wide ---- */

static size_t bucket_of(int64_t us)
{
    uint64_t v = us < 1 ? 1 : (uint64_t)us;
    int octave = 63 - __builtin_clzll(v);
    if (octave >= OCTAVES)
        octave = OCTAVES - 1;
    const uint64_t within = ((v << 6) >> octave) - BUCKETS_PER_OCTAVE;
    return (size_t)octave * BUCKETS_PER_OCTAVE + (size_t)(within & (BUCKETS_PER_OCTAVE - 1));
}

static double percentile_ms(double share)
{
    int64_t left = (int64_t)((double)count.replied * share);
    for (size_t i = 0; i < ARRAY_LEN(count.bucket); i++) {
        left -= count.bucket[i];
        if (left < 0) {
            const double base = (double)(UINT64_C(1) << i / BUCKETS_PER_OCTAVE);
            return base * (1.0 + (double)(i % BUCKETS_PER_OCTAVE) / BUCKETS_PER_OCTAVE) / 1000.0;
        }
    }
    return (double)count.worst_us / 1000.0;
}

/* ---- script ---- */

/* The next word of `rest`. */
static Str word(Str *rest)
{
    const Str s = str_trim(*rest);
    const int64_t space = str_index(s, ' ', 0);
    const size_t n = space < 0 ? s.len : (size_t)space;
    *rest = str_slice(s, n + 1, s.len);
    return str_slice(s, 0, n);
}

static bool parse_statuses(Str list, Step *out)
{
    while (list.len > 0 && out->statuses < STATUSES_MAX) {
        const int64_t comma = str_index(list, ',', 0);
        const size_t n = comma < 0 ? list.len : (size_t)comma;
        int64_t status = 0;
        if (!str_to_i64(str_slice(list, 0, n), &status) || status < 100 || status > 599)
            return false;
        out->status[out->statuses++] = (int)status;
        list = str_slice(list, n + 1, list.len);
    }
    return out->statuses > 0;
}

static bool parse_line(Str line)
{
    line = str_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return true;
    Str rest = line;
    const Str first = word(&rest);
    if (str_eq(first, STR("header"))) {
        buf_addf(&extra_headers, "%.*s\r\n", STR_ARG(str_trim(rest)));
        return true;
    }
    if (step_count == STEPS_MAX)
        return false;
    Step *s = &steps[step_count++];
    s->method = first;
    s->path = word(&rest);
    const Str statuses = word(&rest);
    s->body = str_trim(rest);
    return s->path.len > 0 && parse_statuses(statuses, s);
}

static bool load_script(const char *file)
{
    static Buf text = {.max_bytes = 1 << 20}; /* the steps point into it */
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    char *at = buf_reserve(&text, (1 << 20) - 1);
    const ssize_t n = fd < 0 || at == NULL ? -1 : read(fd, at, (1 << 20) - 1);
    if (fd >= 0)
        (void)close(fd);
    if (n < 0)
        return false;
    text.len = (size_t)n;
    for (size_t from = 0; from < text.len;) {
        const int64_t end = str_index(buf_str(&text), '\n', from);
        const size_t to = end < 0 ? text.len : (size_t)end;
        if (!parse_line(str_slice(buf_str(&text), from, to)))
            return false;
        from = to + 1;
    }
    return step_count > 0;
}

/* ---- requests ---- */

__extension__ typedef unsigned __int128 Wide;

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The i-th place of a walk that visits each of 1 to --requests once: steps of a length that has no
 * divisor in common with their number. */
static int64_t scattered(int64_t i)
{
    static int64_t stride;
    if (stride == 0)
        for (stride = options.requests * 618 / 1000 + 1;
             common_divisor(stride, options.requests) != 1; stride++) {
        }
    return (int64_t)((Wide)i * (Wide)stride % (Wide)options.requests) + 1;
}

static void add_filled(Buf *b, Str text)
{
    char uuid[RAND_UUID_BYTES];
    for (size_t i = 0; i < text.len; i++) {
        const char *dollar = memchr(text.ptr + i, '$', text.len - i);
        const size_t at = dollar == NULL ? text.len : (size_t)(dollar - text.ptr);
        buf_add(b, str_slice(text, i, at));
        i = at;
        const char next = at + 1 < text.len ? text.ptr[at + 1] : '\0';
        if (at == text.len || memchr("NIPU", next, 4) == NULL) {
            buf_add(b, str_slice(text, at, at + 1));
            continue;
        }
        if (next == 'N') {
            buf_addf(b, "%08" PRId64, count.sent);
        } else if (next == 'I' || next == 'P') {
            buf_add_i64(b, options.base + (next == 'I' ? count.sent + 1 : scattered(count.sent)));
        } else {
            rand_uuid(clock_now_ms(), uuid);
            buf_add(b, str_of(uuid));
        }
        i++;
    }
}

static void build_request(Conn *c)
{
    static Buf body = {.max_bytes = OUT_BYTES_MAX};
    const Step *s = c->step;
    buf_clear(&body);
    add_filled(&body, s->body);
    buf_clear(&c->out);
    buf_addf(&c->out, "%.*s ", STR_ARG(s->method));
    add_filled(&c->out, s->path);
    buf_addf(&c->out, " HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", options.port);
    buf_add(&c->out, buf_str(&extra_headers));
    const bool writes = !str_eq(s->method, STR("GET")) && !str_eq(s->method, STR("HEAD"));
    if (writes && options.idempotency != 0) {
        char uuid[RAND_UUID_BYTES];
        rand_uuid(clock_now_ms(), uuid);
        buf_addf(&c->out, "Idempotency-Key: %s\r\n", uuid);
    }
    if (body.len > 0)
        buf_addf(&c->out, "Content-Type: application/json\r\n");
    if (writes || body.len > 0)
        buf_addf(&c->out, "Content-Length: %zu\r\n", body.len);
    buf_addf(&c->out, "\r\n");
    buf_add(&c->out, buf_str(&body));
    CHECK(!c->out.overflowed && !body.overflowed);
}

/* ---- replies ---- */

typedef struct Reply {
    int status;
    size_t bytes; /* head and body */
    bool closes;
} Reply;

static bool header_is(Str line, Str lower_name, Str *value)
{
    if (line.len <= lower_name.len || line.ptr[lower_name.len] != ':')
        return false;
    for (size_t i = 0; i < lower_name.len; i++)
        if ((line.ptr[i] | 32) != lower_name.ptr[i])
            return false;
    *value = str_trim(str_slice(line, lower_name.len + 1, line.len));
    return true;
}

/* The lines of a head without its empty one; false = not what a server may send. */
static bool parse_head(Str head, bool is_head, Reply *out)
{
    int64_t status = 0, length = 0;
    int lengths = 0;
    if (!str_starts_with(head, STR("HTTP/1.1 ")) || head.len < 13 ||
        !str_to_i64(str_slice(head, 9, 12), &status) || status < 200 || status > 599)
        return false;
    for (size_t from = 0, line = 0; from < head.len; line++) {
        const int64_t end = str_index(head, '\r', from);
        if (end < 0 || (size_t)end + 1 >= head.len || head.ptr[end + 1] != '\n')
            return false;
        const Str text = str_slice(head, from, (size_t)end);
        Str value;
        from = (size_t)end + 2;
        if (line > 0 && str_index(text, ':', 0) <= 0)
            return false;
        if (header_is(text, STR("transfer-encoding"), &value))
            return false;
        if (header_is(text, STR("content-length"), &value) &&
            (++lengths > 1 || !str_to_i64(value, &length) || length < 0))
            return false;
        if (header_is(text, STR("connection"), &value) && str_eq(value, STR("close")))
            out->closes = true;
    }
    const bool bodiless = status == 204 || status == 304;
    out->status = (int)status;
    out->bytes = head.len + 2 + (is_head || bodiless ? 0 : (size_t)length);
    return lengths == 1 || bodiless;
}

/* 1 = a whole reply is there, 0 = not yet, -1 = malformed. */
static int parse_reply(const Conn *c, Reply *out)
{
    const Str in = buf_str(&c->in);
    for (size_t i = 0; i + 3 < in.len; i++) {
        if (memcmp(in.ptr + i, "\r\n\r\n", 4) != 0)
            continue;
        *out = (Reply){.status = 0};
        if (!parse_head(str_slice(in, 0, i + 2), str_eq(c->step->method, STR("HEAD")), out))
            return -1;
        if (in.len > out->bytes)
            return -1; /* more than one reply for one request */
        return in.len == out->bytes;
    }
    return 0;
}

/* ---- connections ---- */

static void watch(Conn *c, int op, bool write)
{
    struct epoll_event e = {.events = EPOLLIN | (write ? (unsigned)EPOLLOUT : 0), .data.ptr = c};
    CHECK(epoll_ctl(epoll_fd, op, c->fd, &e) == 0);
    c->wants_write = write;
}

static bool dial(Conn *c)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)options.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in elsewhere = {.sin_family = AF_INET,
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    const int yes = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(c->fd >= 0);
    if (c->slow) /* another client than the load: the server limits connections per address */
        CHECK(bind(c->fd, (const struct sockaddr *)(const void *)&elsewhere, sizeof elsewhere) ==
              0);
    if (connect(c->fd, (const struct sockaddr *)(const void *)&to, sizeof to) != 0) {
        (void)close(c->fd);
        c->fd = -1;
        count.refused++;
        return false;
    }
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    CHECK(fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0);
    watch(c, EPOLL_CTL_ADD, false);
    count.connects++;
    return true;
}

static void hang_up(Conn *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

static void flush(Conn *c)
{
    while (c->sent < c->out.len) {
        const ssize_t n = send(c->fd, c->out.ptr + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            break; /* full, or broken: then reading says so */
        c->sent += (size_t)n;
    }
    if ((c->sent < c->out.len) != c->wants_write)
        watch(c, EPOLL_CTL_MOD, c->sent < c->out.len);
}

/* When the next request is due; the past without --rate. */
static int64_t due_us(void)
{
    return options.rate == 0 ? 0 : began_us + count.sent * 1000000 / options.rate;
}

static void next_request(Conn *c)
{
    const int64_t due = due_us(), now_us = clock_mono_us();
    if (c->slow || c->busy || count.sent == options.requests || due > now_us ||
        (c->fd < 0 && !dial(c)))
        return;
    c->step = &steps[count.sent % step_count];
    build_request(c);
    count.sent++;
    buf_clear(&c->in);
    c->sent = 0;
    c->busy = true;
    c->started_us = due > 0 ? due : now_us;
    flush(c);
}

/* With --rate: whoever is idle takes what has become due. */
static void take_due(Conn *conns, int n)
{
    static int turn;
    for (int i = 0; options.rate > 0 && i < n && due_us() <= clock_mono_us(); i++)
        next_request(&conns[turn++ % n]);
}

static void lose(Conn *c, const char *why, int64_t *counter)
{
    complain(why, c);
    (*counter)++;
    c->busy = false;
    hang_up(c);
}

static void take_reply(Conn *c, const Reply *r)
{
    const int64_t us = clock_mono_us() - c->started_us;
    bool expected = false;
    for (int i = 0; i < c->step->statuses; i++)
        expected = expected || c->step->status[i] == r->status;
    if (!expected) {
        complain("unexpected status", c);
        count.unexpected++;
    }
    count.replied++;
    count.by_status[r->status]++;
    count.bucket[bucket_of(us)]++;
    count.worst_us = us > count.worst_us ? us : count.worst_us;
    c->busy = false;
    if (r->closes)
        hang_up(c);
}

static void on_end(Conn *c)
{
    if (c->busy)
        lose(c, "closed without a reply", &count.lost);
    count.slow_cut += c->slow;
    hang_up(c);
}

static void on_bytes(Conn *c)
{
    char *at = buf_reserve(&c->in, 65536);
    CHECK(at != NULL);
    const ssize_t n = recv(c->fd, at, 65536, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        on_end(c);
        return;
    }
    if (c->slow) /* an error reply before the cut, say */
        return;
    c->in.len += (size_t)n;
    Reply r;
    const int rc = c->busy ? parse_reply(c, &r) : -1;
    if (rc < 0)
        lose(c, "malformed", &count.malformed);
    else if (rc > 0)
        take_reply(c, &r);
}

/* Every 100 ms: who waits too long, who needs a connection, whose slow byte is due. */
static void look_around(Conn *conns, int n)
{
    const int64_t now_us = clock_mono_us();
    for (Conn *c = conns; c < conns + n; c++) {
        if (c->busy && now_us - c->started_us > options.timeout_ms * INT64_C(1000))
            lose(c, "no reply in time", &count.lost);
        if (!c->slow || now_us < c->next_byte_us || (c->fd < 0 && !dial(c)))
            continue;
        c->next_byte_us = now_us + 1000000;
        static const char HEAD[] = "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ";
        const char byte = c->sent < sizeof HEAD - 1 ? HEAD[c->sent] : 'a';
        c->sent++;
        if (send(c->fd, &byte, 1, MSG_NOSIGNAL) != 1)
            c->sent = 0;
    }
}

static bool run(Conn *conns, int n)
{
    const int64_t end_us = clock_mono_us() + options.seconds_max * INT64_C(1000000);
    int64_t look_us = 0;
    while (count.replied + count.lost + count.malformed < options.requests) {
        const int64_t now_us = clock_mono_us();
        if (now_us > end_us)
            return false;
        if (now_us - look_us > 100000) {
            look_us = now_us;
            look_around(conns, n);
            for (int i = 0; options.rate == 0 && i < n; i++)
                next_request(&conns[i]);
        }
        struct epoll_event events[256];
        take_due(conns, n);
        const int ready =
            epoll_wait(epoll_fd, events, ARRAY_LEN(events), options.rate > 0 ? 1 : 100);
        for (int i = 0; i < ready; i++) {
            Conn *c = events[i].data.ptr;
            if (c->fd >= 0 && (events[i].events & EPOLLOUT) != 0)
                flush(c);
            if (c->fd >= 0 && (events[i].events & ~(unsigned)EPOLLOUT) != 0)
                on_bytes(c);
            if (options.rate == 0)
                next_request(c);
        }
    }
    return true;
}

static void report(double seconds)
{
    printf("requests %" PRId64 "  replies %" PRId64 "  lost %" PRId64 "  malformed %" PRId64
           "  unexpected %" PRId64 "\n",
           count.sent, count.replied, count.lost, count.malformed, count.unexpected);
    for (size_t s = 0; s < ARRAY_LEN(count.by_status); s++)
        if (count.by_status[s] > 0)
            printf("status %zu: %" PRId64 "\n", s, count.by_status[s]);
    printf("connects %" PRId64 "  connects refused %" PRId64 "  slow clients cut %" PRId64 "\n",
           count.connects, count.refused, count.slow_cut);
    printf("seconds %.2f  rate %.0f/s  p50 %.2f ms  p99 %.2f ms  max %.2f ms\n", seconds,
           (double)count.replied / seconds, percentile_ms(0.5), percentile_ms(0.99),
           (double)count.worst_us / 1000.0);
}

/* ---- command line ---- */

static bool parse_options(int argc, char **argv)
{
    bool has_script = false;
    int64_t value = 0;
    const struct {
        const char *name;
        int *place;
    } numbers[] = {{"--port", &options.port},
                   {"--connections", &options.connections},
                   {"--slow", &options.slow},
                   {"--idempotency", &options.idempotency},
                   {"--timeout-ms", &options.timeout_ms},
                   {"--seconds-max", &options.seconds_max},
                   {"--rate", &options.rate}};
    for (int i = 1; i + 1 < argc; i += 2) {
        const Str text = str_of(argv[i + 1]);
        bool known = false;
        if (strcmp(argv[i], "--script") == 0)
            known = has_script = load_script(argv[i + 1]);
        if (strcmp(argv[i], "--requests") == 0)
            known = str_to_i64(text, &options.requests);
        if (strcmp(argv[i], "--base") == 0)
            known = str_to_i64(text, &options.base);
        if (strcmp(argv[i], "--header") == 0) {
            buf_addf(&extra_headers, "%s\r\n", argv[i + 1]);
            known = true;
        }
        for (size_t k = 0; k < ARRAY_LEN(numbers); k++) {
            if (strcmp(argv[i], numbers[k].name) != 0 || !str_to_i64(text, &value))
                continue;
            *numbers[k].place = (int)value;
            known = true;
        }
        if (!known)
            return false;
    }
    return argc % 2 == 1 && has_script && options.port > 0 && options.connections > 0 &&
           options.slow >= 0 && options.requests > 0;
}

int main(int argc, char **argv)
{
    if (!parse_options(argc, argv)) {
        fprintf(stderr, "usage: soak --port P --script FILE [--connections N] [--requests M] "
                        "[--slow K] [--header \"K: v\"] [--idempotency 1] [--timeout-ms T] "
                        "[--seconds-max S] [--rate R] [--base B]\n");
        return 2;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK(epoll_fd >= 0);
    const int n = options.connections + options.slow;
    Conn *conns = calloc((size_t)n, sizeof *conns);
    CHECK(conns != NULL);
    for (int i = 0; i < n; i++)
        conns[i] = (Conn){.fd = -1,
                          .slow = i >= options.connections,
                          .out = BUF_MAX(OUT_BYTES_MAX),
                          .in = BUF_MAX(IN_BYTES_MAX)};
    began_us = clock_mono_us();
    const bool in_time = run(conns, n);
    report((double)(clock_mono_us() - began_us) / 1e6);
    if (!in_time)
        fprintf(stderr, "not done after %d seconds\n", options.seconds_max);
    for (int i = 0; i < n; i++) {
        hang_up(&conns[i]);
        buf_free(&conns[i].out);
        buf_free(&conns[i].in);
    }
    free(conns);
    return in_time && count.lost + count.malformed + count.unexpected == 0 ? 0 : 1;
}
