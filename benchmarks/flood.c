/* flood: makes connections at a rate, each when it is due whatever became of the ones before, and prints one
 * line of JSON on what did.
 *
 *   flood -p PORT -r RATE -t SECONDS -a ADDRESSES [-b FIRST -s SIZE -k HELD -w SECONDS]
 *
 * They come in turn from ADDRESSES addresses of this machine, from FIRST (127.1.0.1) up.  Each sends SIZE bytes
 * once it is connected, and is served when as many are back; without -s none is ever served.  It is refused when
 * it is closed, reset or not let in before that, and lost when nothing has come of it PATIENCE seconds after it
 * was due.  A latency is that of a served one, from when it was due.
 *
 * With -k, HELD connections of each address are made before all others, and held to the end; it says "held"
 * when they are there, and then waits for a line on its standard input.  Nothing is counted that was due in the
 * first -w SECONDS.  All are closed with a reset, which leaves nothing in TIME_WAIT here.
 *
 * What could not be made since there were no descriptors or ports is counted as not made, and not as lost.
 *
 * Build: gcc -O2 -o flood flood.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 5.0

typedef struct Try {
    int fd, got, counted;
    double due;
    struct Try *older, *newer; /* those that are under way, in the order of their making */
} Try;

static int port, size, held, ep;
static long addresses = 1;
static unsigned first;
static double rate, seconds, warm;
static long made, served, refused, lost, not_made, under_way, most_under_way, recorded, room;
static double *took, late;
static char *out, *in;
static Try *oldest, *newest, *spare;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int dial(long number, int blocking) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)}, from = {.sin_family = AF_INET};
    struct linger reset = {1, 0};
    if (fd < 0) return -1;
    from.sin_addr.s_addr = htonl(first + number % addresses);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (bind(fd, (void *)&from, sizeof from) ||
        (connect(fd, (void *)&to, sizeof to) && errno != EINPROGRESS)) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static void end(Try *t, long *what) {
    if (t->counted) ++*what;
    if (t->counted && what == &served) {
        if (recorded == room) took = realloc(took, (room = room * 2 + 1024) * sizeof *took);
        took[recorded++] = now() - t->due;
    }
    close(t->fd);
    *(t->older ? &t->older->newer : &oldest) = t->newer;
    *(t->newer ? &t->newer->older : &newest) = t->older;
    t->newer = spare;
    spare = t;
    under_way--;
}

static void begin(long number, double due, int counted) {
    int fd = dial(number, 0);
    struct epoll_event e = {.events = size ? EPOLLOUT : EPOLLIN | EPOLLRDHUP};
    Try *t = spare;
    if (counted) { made++; late += now() - due; }
    if (fd < 0) {
        if (counted) ++*(errno == ECONNREFUSED ? &refused : &not_made);
        return;
    }
    if (t) spare = t->newer;
    else t = malloc(sizeof *t);
    *t = (Try){.fd = fd, .counted = counted, .due = due, .older = newest};
    *(newest ? &newest->newer : &oldest) = t;
    newest = t;
    if (++under_way > most_under_way) most_under_way = under_way;
    e.data.ptr = t;
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static void hear(Try *t, unsigned events) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = t};
    ssize_t r;
    if (events & EPOLLERR) { end(t, &refused); return; }
    if (events & EPOLLOUT) {
        if (write(t->fd, out, size) != size) { end(t, &refused); return; }
        epoll_ctl(ep, EPOLL_CTL_MOD, t->fd, &e);
        return;
    }
    r = read(t->fd, in, 65536);
    if (r < 0 && errno == EAGAIN) return;
    if (r <= 0) { end(t, &refused); return; }
    t->got += r;
    if (size && t->got >= size) end(t, t->got == size && !memcmp(in, out, r) ? &served : &refused);
}

static int rising(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double ms(double share) {
    return recorded ? took[(long)((recorded - 1) * share)] * 1e3 : 0;
}

int main(int argc, char **argv) {
    struct epoll_event ev[512];
    struct rlimit files;
    double from, until, next, t;
    long number = 0;
    int opt;
    first = ntohl(inet_addr("127.1.0.1"));
    while ((opt = getopt(argc, argv, "p:r:t:a:b:s:k:w:")) != -1) switch (opt) {
        case 'p': port = atoi(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 't': seconds = atof(optarg); break;
        case 'a': addresses = atol(optarg); break;
        case 'b': first = ntohl(inet_addr(optarg)); break;
        case 's': size = atoi(optarg); break;
        case 'k': held = atoi(optarg); break;
        case 'w': warm = atof(optarg); break;
        default: return 2;
    }
    if (!port || rate <= 0 || seconds <= 0 || addresses < 1 || size < 0 || size > 65536) {
        fprintf(stderr, "flood: -p PORT -r RATE -t SECONDS -a ADDRESSES [-b FIRST -s SIZE -k HELD -w SECONDS]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    ep = epoll_create1(0);
    struct pollfd any = {.fd = ep, .events = POLLIN}; /* a poll can wait for less than a millisecond */
    in = malloc(65536);
    out = malloc(65536);
    memset(out, 'x', 65536);
    if (held) {
        for (number = 0; number < held * addresses; number++)
            if (dial(number, 1) < 0) { perror("flood: a connection to be held"); return 1; }
        printf("held\n");
        fflush(stdout);
        if (!fgets(in, 64, stdin)) return 1;
    }
    next = now();
    from = next + warm;
    until = from + seconds;
    while ((t = now()) < until || (oldest && t < until + PATIENCE)) {
        /* What is due, in turn with those that are under way. */
        for (int most = 64; most-- && next <= t && next < until; next += 1 / rate)
            begin(number++, next, next >= from);
        double rest = next < until ? next - now() : .01;
        struct timespec nap = {0, rest <= 0 ? 0 : rest < .01 ? rest * 1e9 : 10000000};
        ppoll(&any, 1, &nap, NULL);
        int k = epoll_wait(ep, ev, 512, 0);
        for (int i = 0; i < k; i++) hear(ev[i].data.ptr, ev[i].events);
        while (oldest && now() - oldest->due > PATIENCE) end(oldest, &lost);
    }
    while (oldest) end(oldest, &lost);
    qsort(took, recorded, sizeof *took, rising);
    printf("{\"made\": %ld, \"served\": %ld, \"refused\": %ld, \"lost\": %ld, \"not_made\": %ld, "
           "\"per_s\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"late_ms\": %.3f, "
           "\"most_under_way\": %ld}\n",
           made, served, refused, lost, not_made, made / seconds, ms(.5), ms(.99), ms(1),
           made ? late / made * 1e3 : 0, most_under_way);
    return 0;
}
