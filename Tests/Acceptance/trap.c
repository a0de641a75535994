/* Preloaded into the server: the queue role fails, as a trap of its own would make it, when it writes a message to the next hop that holds
   the word. Nothing in the server knows of it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static const char word[] = "X-Poison: strychnine";

static int is_queue_role;

/* At the start: later the role cannot see its own entry in /proc. */
__attribute__((constructor)) static void who_am_i(void) {
    char text[512] = "";
    int file = open("/proc/self/cmdline", O_RDONLY);
    ssize_t length = file >= 0 ? read(file, text, sizeof text) : 0;
    if (file >= 0) close(file);
    is_queue_role = length > 0 && memmem(text, (size_t)length, "\0queue", 6) != NULL;
}

static void look(int fd, const void *bytes, size_t length) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    if (!is_queue_role || !memmem(bytes, length, word, sizeof word - 1)) return;
    /* To the next hop only: the hand-off is a unix socket, the journal a file. */
    if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && peer.ss_family == AF_INET) __builtin_trap();
}

ssize_t write(int fd, const void *bytes, size_t length) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    look(fd, bytes, length);
    return real(fd, bytes, length);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    static ssize_t (*real)(int, const void *, size_t, int);
    if (!real) real = (ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");
    look(fd, bytes, length);
    return real(fd, bytes, length, flags);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    static ssize_t (*real)(int, const struct iovec *, int);
    if (!real) real = (ssize_t(*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    for (int i = 0; i < count; i++) look(fd, parts[i].iov_base, parts[i].iov_len);
    return real(fd, parts, count);
}
