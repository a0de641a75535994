#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// What this thread is working on. Read by the signal handler of the same thread only.
static _Thread_local volatile uint64_t current_message;
static _Thread_local volatile uint64_t current_place;
static _Thread_local int has_stack;

// The two words in the shared page; its store outlives the process, as it is in the page cache.
static volatile uint64_t *crash_words;

static void crashed(int number, siginfo_t *info, void *context) {
    (void)context;
    // A fault of our own, or abort(); not a signal that somebody sent.
    int own = info->si_code > 0 || info->si_pid == getpid();
    if (own && crash_words && current_message) {
        crash_words[0] = current_message;
        crash_words[1] = (current_place << 32) | (uint64_t)(unsigned)number;
    }
    // SA_RESETHAND has put the default back: this ends the process with the signal it deserves.
    raise(number);
}

// The stack may be what ran out.
static void make_stack(void) {
    has_stack = 1;
    stack_t stack = {.ss_size = 64 * 1024};
    stack.ss_sp = malloc(stack.ss_size);
    if (stack.ss_sp && sigaltstack(&stack, NULL) != 0) free(stack.ss_sp);
}

uint64_t postern_work_on(uint64_t message, uint64_t place) {
    uint64_t previous = current_message;
    if (crash_words && !has_stack) make_stack();
    current_message = message;
    current_place = place;
    return previous;
}

uint64_t postern_work_place(void) { return current_place; }

int postern_watch_crashes(const char *path, size_t offset) {
    static const int numbers[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};
    int file = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return errno;
    // Storing into a hole of a full disk would be another fault.
    int code = posix_fallocate(file, 0, 4096);
    void *page = MAP_FAILED;
    if (code == 0) {
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (page == MAP_FAILED) code = errno;
    }
    close(file);
    if (code != 0) return code;
    crash_words = (volatile uint64_t *)((char *)page + offset);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = crashed;
    action.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER | SA_ONSTACK;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], &action, NULL) != 0) return errno;
    return 0;
}
