// One SMTP connection after the other, from many threads, until the time is over: connect, EHLO, MAIL, RCPT, DATA, QUIT, and every reply
// must be what it should be. Prints {"connections": n, "failures": n, "first": "..."}; loopback only.
//
//   connload PORT SECONDS THREADS RATE        RATE: connections per second over all threads; 0 for as many as there can be
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int port;
static double until, pause_between;
static atomic_long connections, failures;
static pthread_mutex_t first_lock = PTHREAD_MUTEX_INITIALIZER;
static char first[300];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *stage, const char *what) {
    atomic_fetch_add(&failures, 1);
    pthread_mutex_lock(&first_lock);
    if (!first[0]) {
        snprintf(first, sizeof first, "%s: %s", stage, what);
        for (char *c = first; *c; c++) if (*c == '"' || *c == '\\' || *c < 32) *c = ' ';
    }
    pthread_mutex_unlock(&first_lock);
}

// Reads one reply, which may have several lines; its code, or -1 with the reason in text.
static int reply(int s, char *text, size_t size) {
    size_t have = 0;
    for (;;) {
        ssize_t n = recv(s, text + have, size - 1 - have, 0);
        if (n <= 0) {
            snprintf(text, size, "%s", n == 0 ? "connection closed" : strerror(errno));
            return -1;
        }
        have += n;
        text[have] = 0;
        if (text[have - 1] != '\n') continue;
        char *last = text + have - 1;
        while (last > text && last[-1] != '\n') last--;
        if (strlen(last) > 3 && last[3] == ' ') return atoi(last);
    }
}

static int say(int s, const char *stage, const char *line, int wanted) {
    char text[4096];
    if (line && send(s, line, strlen(line), MSG_NOSIGNAL) < 0) return fail(stage, strerror(errno)), 0;
    int code = reply(s, text, sizeof text);
    if (code != wanted) return fail(stage, text), 0;
    return 1;
}

static void transaction(void) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {60, 0};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    atomic_fetch_add(&connections, 1);
    if (connect(s, (struct sockaddr *)&to, sizeof to) != 0) {
        fail("connect", strerror(errno));
    } else {
        (void)(say(s, "greeting", NULL, 220) && say(s, "EHLO", "EHLO client.example.com\r\n", 250) &&
               say(s, "MAIL", "MAIL FROM:<a@example.com>\r\n", 250) && say(s, "RCPT", "RCPT TO:<b@example.net>\r\n", 250) &&
               say(s, "DATA", "DATA\r\n", 354) && say(s, "end of data", "Subject: x\r\n\r\nbody\r\n.\r\n", 250) &&
               say(s, "QUIT", "QUIT\r\n", 221));
    }
    close(s);
}

static void *work(void *unused) {
    (void)unused;
    double next = now();
    while (now() < until) {
        transaction();
        next += pause_between;
        double wait = next - now();
        if (wait > 0) usleep((useconds_t)(wait * 1e6));
        else if (wait < -1) next = now();
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    port = atoi(argv[1]);
    until = now() + atof(argv[2]);
    int count = atoi(argv[3]);
    double rate = atof(argv[4]);
    pause_between = rate > 0 ? count / rate : 0;
    pthread_t *threads = calloc(count, sizeof *threads);
    for (int i = 0; i < count; i++) pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    printf("{\"connections\": %ld, \"failures\": %ld, \"first\": \"%s\"}\n", atomic_load(&connections), atomic_load(&failures), first);
    return 0;
}
