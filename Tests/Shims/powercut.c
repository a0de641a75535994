/* Records what a program writes below one directory, and what it flushes, so that a test can work out what a power cut would leave.
 * Preloaded into the real server (Tests/Acceptance/powercut.py builds and reads it). Linux, 64 bit.
 *
 *   cc -O2 -shared -fPIC -Wall -Wextra -DROOT='"/directory"' -DLOG='"/elsewhere/log."' powercut.c -o powercut.so
 *
 *   LOG              a prefix: each process appends to a file of its own, named by its pid; without it nothing is recorded
 *   FLUSH_LIES       1: flushes of files do nothing, are not recorded, and say that they worked; 2: those of directories; 3: both
 *   FLUSH_DELAY_US   each flush takes that much longer
 *   SHORT_WRITES     pwritev(2) writes half of its first piece, every other time after an EINTR
 *   COUNTS           a file of two 64-bit numbers: flushes of files and of directories, counted by all processes together
 *
 * A record is written after its operation has been done and before the caller hears of it; for a flush it also says when the flush began,
 * as only what had been written by then is covered. Whatever could change a file past this program ends it with abort(). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef ROOT
#error "ROOT is the directory to watch"
#endif
#ifndef FLUSH_DELAY_US
#define FLUSH_DELAY_US 0
#endif
#ifndef FLUSH_LIES
#define FLUSH_LIES 0
#endif
#define EXPORT __attribute__((visibility("default")))
#define REAL(name) ({ static __typeof__(&name) found; if (!found) found = (__typeof__(&name))real(#name); found; })

enum { OPENED = 1, WRITTEN, RESIZED, EXTENDED, FLUSHED, MADE_DIRECTORY, UNLINKED, REMOVED_DIRECTORY, RENAMED, LINKED, FLUSHED_DIRECTORY };

struct record {
    uint32_t magic, kind;
    uint64_t time, begun, inode, offset, length; /* times: CLOCK_MONOTONIC, nanoseconds; length: of the data that follows the paths */
    uint32_t path_length, second_length;
    uint64_t created;
};

/* What is known of a descriptor below ROOT. */
struct watched {
    char *path;
    uint64_t inode;
    int is_directory;
};

static struct watched table[65536];
static char chroot_prefix[4096];
#ifdef LOG
static int log_descriptor = -1;
#endif
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *real(const char *name) {
    void *symbol = dlsym(RTLD_NEXT, name);
    if (!symbol) abort();
    return symbol;
}

static void give_up(const char *what, const char *path) {
    char text[5000];
    int length = snprintf(text, sizeof text, "powercut: %s: %s\n", what, path ? path : "");
    if (REAL(write)(2, text, (size_t)length) < 0) {}
    abort();
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#ifdef LOG
__attribute__((constructor)) static void open_log(void) {
    /* Opened at the start, because the process may give up its rights or its root directory later; high, because low numbers have meanings. */
    char path[4096];
    snprintf(path, sizeof path, "%s%d", LOG, (int)getpid());
    int low = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (low < 0) give_up("cannot open its log", path);
    log_descriptor = fcntl(low, F_DUPFD_CLOEXEC, 1000);
    if (log_descriptor < 0) log_descriptor = low; else REAL(close)(low);
}

/* Called with the lock held, or from a flush, which touches nothing else. */
static void put_all(const void *bytes, size_t length) {
    const char *next = bytes;
    while (length > 0) {
        ssize_t n = REAL(write)(log_descriptor, next, length);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) give_up("cannot write its log", strerror(errno));
        next += n;
        length -= (size_t)n;
    }
}

static void put(struct record r, const char *path, const char *second, const struct iovec *data, int count) {
    int saved = errno;
    r.magic = 0x54554350;
    r.time = now();
    r.path_length = path ? (uint32_t)strlen(path) : 0;
    r.second_length = second ? (uint32_t)strlen(second) : 0;
    size_t size = sizeof r + r.path_length + r.second_length + r.length;
    char *all = malloc(size), *end = all;
    if (!all) abort();
    end = mempcpy(end, &r, sizeof r);
    end = mempcpy(end, path, r.path_length);
    end = mempcpy(end, second, r.second_length);
    size_t left = r.length;
    for (int i = 0; i < count && left > 0; i++) {
        size_t part = data[i].iov_len < left ? data[i].iov_len : left;
        end = mempcpy(end, data[i].iov_base, part);
        left -= part;
    }
    put_all(all, size);
    free(all);
    errno = saved;
}
#else
static void put(struct record r, const char *path, const char *second, const struct iovec *data, int count) {
    (void)r, (void)path, (void)second, (void)data, (void)count;
}
#endif

#ifdef COUNTS
static uint64_t *counts;
__attribute__((constructor)) static void open_counts(void) {
    int fd = REAL(open)(COUNTS, O_RDWR | O_CLOEXEC);
    if (fd < 0) give_up("cannot open", COUNTS);
    void *page = REAL(mmap)(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) give_up("cannot map", COUNTS);
    REAL(close)(fd);
    counts = page;
}
#endif

/* The absolute path without a change of root; 0 if it is not below ROOT. */
static int below(int directory, const char *path, char out[4096]) {
    if (path[0] == '/') {
        if (snprintf(out, 4096, "%s%s", chroot_prefix, path) >= 4096) return 0;
    } else if (directory == AT_FDCWD) {
        char current[2048];
        if (!getcwd(current, sizeof current) || snprintf(out, 4096, "%s%s/%s", chroot_prefix, current, path) >= 4096) return 0;
    } else {
        if (directory < 0 || directory >= 65536 || !table[directory].path) return 0;
        if (snprintf(out, 4096, "%s/%s", table[directory].path, path) >= 4096) return 0;
    }
    size_t length = strlen(ROOT);
    return strncmp(out, ROOT, length) == 0 && (out[length] == '/' || out[length] == 0);
}

static struct watched *watched(int descriptor) {
    return descriptor >= 0 && descriptor < 65536 && table[descriptor].path ? &table[descriptor] : NULL;
}

static void forget(int descriptor) {
    struct watched *w = watched(descriptor);
    if (!w) return;
    free(w->path);
    memset(w, 0, sizeof *w);
}

/* MARK: names */

static int open_at(int directory, const char *path, int flags, mode_t mode) {
    char full[4096];
    if ((flags & O_TMPFILE) == O_TMPFILE || !below(directory, path, full)) return REAL(openat)(directory, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat before, after;
    int existed = !(flags & O_CREAT) || fstatat(directory, path, &before, AT_SYMLINK_NOFOLLOW) == 0;
    int descriptor = REAL(openat)(directory, path, flags, mode);
    if (descriptor >= 0) {
        if (descriptor >= 65536 || fstat(descriptor, &after) != 0) give_up("cannot watch", full);
        forget(descriptor);
        if (S_ISREG(after.st_mode) || S_ISDIR(after.st_mode)) {
            table[descriptor] = (struct watched){strdup(full), after.st_ino, S_ISDIR(after.st_mode)};
            if (S_ISREG(after.st_mode)) {
                put((struct record){.kind = OPENED, .inode = after.st_ino, .created = !existed}, full, NULL, NULL, 0);
                if (flags & O_TRUNC && existed) put((struct record){.kind = RESIZED, .inode = after.st_ino}, NULL, NULL, NULL, 0);
            }
        }
    }
    pthread_mutex_unlock(&lock);
    return descriptor;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list list; \
        va_start(list, last); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }
EXPORT int open(const char *path, int flags, ...) { MODE(flags, flags) return open_at(AT_FDCWD, path, flags, mode); }
EXPORT int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_at(AT_FDCWD, path, flags, mode); }
EXPORT int openat(int directory, const char *path, int flags, ...) { MODE(flags, flags) return open_at(directory, path, flags, mode); }
EXPORT int openat64(int directory, const char *path, int flags, ...) { MODE(flags, flags) return open_at(directory, path, flags, mode); }
EXPORT int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
EXPORT int creat64(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

EXPORT int close(int descriptor) {
#ifdef LOG
    if (descriptor == log_descriptor) return 0;
#endif
    if (watched(descriptor)) {
        pthread_mutex_lock(&lock);
        forget(descriptor);
        pthread_mutex_unlock(&lock);
    }
    return REAL(close)(descriptor);
}

EXPORT int close_range(unsigned first, unsigned last, int flags) {
    for (unsigned fd = first; fd <= last && fd < 65536 && !(flags & CLOSE_RANGE_CLOEXEC); fd++) {
        if (watched((int)fd)) close((int)fd);
    }
#ifdef LOG
    unsigned kept = (unsigned)log_descriptor;
    if (first <= kept && kept <= last) {
        if (first < kept && REAL(close_range)(first, kept - 1, flags) != 0) return -1;
        return kept < last ? REAL(close_range)(kept + 1, last, flags) : 0;
    }
#endif
    return REAL(close_range)(first, last, flags);
}

EXPORT int chroot(const char *path) {
    char full[4096];
    if (!realpath(path, full)) return -1;
    int result = REAL(chroot)(path);
    if (result == 0) snprintf(chroot_prefix, sizeof chroot_prefix, "%s", strcmp(full, "/") == 0 ? "" : full);
    return result;
}

/* One change of a name: done, and recorded if it worked. */
#define CHANGE(kind_, from_directory, from, to_directory, to, call) \
    char first[4096], second[4096]; \
    const char *target = to; \
    int is_below = below(from_directory, from, first); \
    int is_second_below = target && below(to_directory, target, second); \
    if (!is_below && !is_second_below) return call; \
    if (target && is_below != is_second_below) give_up("moved in or out", from); \
    pthread_mutex_lock(&lock); \
    int result = call; \
    if (result == 0) put((struct record){.kind = kind_}, first, target ? second : NULL, NULL, 0); \
    pthread_mutex_unlock(&lock); \
    return result;

EXPORT int mkdir(const char *path, mode_t mode) { CHANGE(MADE_DIRECTORY, AT_FDCWD, path, AT_FDCWD, NULL, REAL(mkdir)(path, mode)) }
EXPORT int mkdirat(int at, const char *path, mode_t mode) { CHANGE(MADE_DIRECTORY, at, path, AT_FDCWD, NULL, REAL(mkdirat)(at, path, mode)) }
EXPORT int rmdir(const char *path) { CHANGE(REMOVED_DIRECTORY, AT_FDCWD, path, AT_FDCWD, NULL, REAL(rmdir)(path)) }
EXPORT int unlink(const char *path) { CHANGE(UNLINKED, AT_FDCWD, path, AT_FDCWD, NULL, REAL(unlink)(path)) }
EXPORT int unlinkat(int at, const char *path, int flags) {
    CHANGE(flags & AT_REMOVEDIR ? REMOVED_DIRECTORY : UNLINKED, at, path, AT_FDCWD, NULL, REAL(unlinkat)(at, path, flags))
}
EXPORT int rename(const char *from, const char *to) { CHANGE(RENAMED, AT_FDCWD, from, AT_FDCWD, to, REAL(rename)(from, to)) }
EXPORT int renameat(int f, const char *from, int t, const char *to) { CHANGE(RENAMED, f, from, t, to, REAL(renameat)(f, from, t, to)) }
EXPORT int renameat2(int f, const char *from, int t, const char *to, unsigned flags) {
    if (flags & RENAME_EXCHANGE) give_up("exchange of names is not recorded", from);
    CHANGE(RENAMED, f, from, t, to, REAL(renameat2)(f, from, t, to, flags))
}
EXPORT int link(const char *from, const char *to) { CHANGE(LINKED, AT_FDCWD, from, AT_FDCWD, to, REAL(link)(from, to)) }
EXPORT int linkat(int f, const char *from, int t, const char *to, int flags) {
    CHANGE(LINKED, f, from, t, to, REAL(linkat)(f, from, t, to, flags))
}

/* MARK: content */

static void note_write(struct watched *w, const struct iovec *data, int count, ssize_t done, off_t offset) {
    if (done > 0) put((struct record){.kind = WRITTEN, .inode = w->inode, .offset = (uint64_t)offset, .length = (uint64_t)done}, NULL, NULL, data, count);
}

/* Writes at `at`, or where the file stands if that is negative. */
#define WRITE(descriptor, data, count, at, call) \
    struct watched *w = watched(descriptor); \
    if (!w) return call; \
    pthread_mutex_lock(&lock); \
    ssize_t done = call; \
    if (done > 0) { \
        off_t place = (at); \
        note_write(w, data, count, done, place >= 0 ? place : lseek(descriptor, 0, SEEK_CUR) - done); \
    } \
    pthread_mutex_unlock(&lock); \
    return done;
#define ONE(bytes, length) struct iovec one = {(void *)(uintptr_t)(bytes), length}

EXPORT ssize_t write(int fd, const void *bytes, size_t length) { ONE(bytes, length); WRITE(fd, &one, 1, -1, REAL(write)(fd, bytes, length)) }
EXPORT ssize_t writev(int fd, const struct iovec *data, int count) { WRITE(fd, data, count, -1, REAL(writev)(fd, data, count)) }
EXPORT ssize_t pwrite(int fd, const void *b, size_t n, off_t at) { ONE(b, n); WRITE(fd, &one, 1, at, REAL(pwrite)(fd, b, n, at)) }
EXPORT ssize_t pwrite64(int fd, const void *b, size_t n, off_t at) { ONE(b, n); WRITE(fd, &one, 1, at, REAL(pwrite)(fd, b, n, at)) }
static ssize_t write_pieces(int fd, const struct iovec *d, int count, off_t at) {
#ifdef SHORT_WRITES
    static unsigned calls;
    if (watched(fd)) {
        if (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % 2 == 0) {
            errno = EINTR;
            return -1;
        }
        while (count > 1 && d->iov_len == 0) d++, count--;
        return REAL(pwrite)(fd, d->iov_base, (d->iov_len + 1) / 2, at);
    }
#endif
    return REAL(pwritev)(fd, d, count, at);
}
EXPORT ssize_t pwritev(int fd, const struct iovec *d, int count, off_t at) { WRITE(fd, d, count, at, write_pieces(fd, d, count, at)) }
EXPORT ssize_t pwritev64(int fd, const struct iovec *d, int count, off_t at) { WRITE(fd, d, count, at, write_pieces(fd, d, count, at)) }
EXPORT ssize_t pwritev2(int fd, const struct iovec *d, int count, off_t at, int flags) {
    WRITE(fd, d, count, at, REAL(pwritev2)(fd, d, count, at, flags))
}
EXPORT ssize_t pwritev64v2(int fd, const struct iovec *d, int count, off_t at, int flags) {
    WRITE(fd, d, count, at, REAL(pwritev2)(fd, d, count, at, flags))
}

#define RESIZE(fd, kind_, size, call) \
    struct watched *w = watched(fd); \
    if (!w) return call; \
    pthread_mutex_lock(&lock); \
    int result = call; \
    if (result == 0) put((struct record){.kind = kind_, .inode = w->inode, .offset = (uint64_t)(size)}, NULL, NULL, NULL, 0); \
    pthread_mutex_unlock(&lock); \
    return result;

EXPORT int ftruncate(int fd, off_t size) { RESIZE(fd, RESIZED, size, REAL(ftruncate)(fd, size)) }
EXPORT int ftruncate64(int fd, off_t size) { RESIZE(fd, RESIZED, size, REAL(ftruncate)(fd, size)) }
EXPORT int posix_fallocate(int fd, off_t at, off_t n) { RESIZE(fd, EXTENDED, at + n, REAL(posix_fallocate)(fd, at, n)) }
EXPORT int posix_fallocate64(int fd, off_t at, off_t n) { RESIZE(fd, EXTENDED, at + n, REAL(posix_fallocate)(fd, at, n)) }
EXPORT int fallocate(int fd, int mode, off_t at, off_t n) {
    struct watched *watch = watched(fd);
    if (watch && mode & ~FALLOC_FL_KEEP_SIZE) give_up("holes and shifts are not recorded", watch->path);
    if (mode & FALLOC_FL_KEEP_SIZE) return REAL(fallocate)(fd, mode, at, n);
    RESIZE(fd, EXTENDED, at + n, REAL(fallocate)(fd, mode, at, n))
}
EXPORT int fallocate64(int fd, int mode, off_t at, off_t n) { return fallocate(fd, mode, at, n); }

/* Ways past the above. */
EXPORT int truncate(const char *path, off_t size) {
    char full[4096];
    if (below(AT_FDCWD, path, full)) give_up("truncate is not recorded", path);
    return REAL(truncate)(path, size);
}
EXPORT FILE *fopen(const char *path, const char *mode) {
    char full[4096];
    if (strpbrk(mode, "wa+") && below(AT_FDCWD, path, full)) give_up("stdio is not recorded", path);
    return REAL(fopen)(path, mode);
}
EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    struct watched *w = flags & MAP_ANONYMOUS ? NULL : watched(fd);
    /* The page that a fault handler writes into is a safeguard, not a promise; what is stored in it this way counts as lost. */
    int is_safeguard = w && strlen(w->path) > 14 && strcmp(w->path + strlen(w->path) - 14, "/journal/CRASH") == 0;
    if (w && !is_safeguard && flags & MAP_SHARED && protection & PROT_WRITE) give_up("a writable mapping is not recorded", w->path);
    return REAL(mmap)(address, length, protection, flags, fd, offset);
}
EXPORT ssize_t copy_file_range(int in, off_t *from, int out, off_t *to, size_t length, unsigned flags) {
    if (watched(out)) give_up("copy_file_range is not recorded", watched(out)->path);
    return REAL(copy_file_range)(in, from, out, to, length, flags);
}

/* MARK: flushes */

static int flush(int fd, int (*call)(int)) {
    struct watched *w = watched(fd);
    if (!w) return call(fd);
    uint64_t begun = now();
#ifdef COUNTS
    __atomic_add_fetch(&counts[w->is_directory ? 1 : 0], 1, __ATOMIC_RELAXED);
#endif
    if (FLUSH_DELAY_US > 0) {
        struct timespec left = {FLUSH_DELAY_US / 1000000, FLUSH_DELAY_US % 1000000 * 1000};
        while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
    }
    if (FLUSH_LIES & (w->is_directory ? 2 : 1)) return 0;
    int result = call(fd);
    if (result == 0) {
        pthread_mutex_lock(&lock);
        if (w->is_directory) put((struct record){.kind = FLUSHED_DIRECTORY, .begun = begun}, w->path, NULL, NULL, 0);
        else put((struct record){.kind = FLUSHED, .begun = begun, .inode = w->inode}, NULL, NULL, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
EXPORT int fsync(int fd) { return flush(fd, REAL(fsync)); }
EXPORT int fdatasync(int fd) { return flush(fd, REAL(fdatasync)); }
EXPORT int syncfs(int fd) {
    if (watched(fd)) give_up("syncfs is not recorded", watched(fd)->path);
    return REAL(syncfs)(fd);
}
