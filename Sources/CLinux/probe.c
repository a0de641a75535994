#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int postern_probe_program(void) {
    pid_t pid = fork();
    if (pid < 0) return errno;
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(errno);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

int postern_probe_ptrace(pid_t pid) {
    if (ptrace(PTRACE_ATTACH, pid, 0, 0) != 0) return errno;
    ptrace(PTRACE_DETACH, pid, 0, 0);
    return 0;
}

int postern_probe_mount(void) { return mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL) == 0 ? 0 : errno; }

int postern_probe_handle(void) { return syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0) >= 0 ? 0 : errno; }

int postern_probe_bpf(void) { return syscall(SYS_bpf, 0, NULL, 0) >= 0 ? 0 : errno; }

int postern_probe_executable_memory(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return errno;
    munmap(page, 4096);
    return 0;
}

int postern_probe_signal(pid_t pid) { return kill(pid, 0) == 0 ? 0 : errno; }

int postern_probe_packet_socket(void) {
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return errno;
    close(descriptor);
    return 0;
}

int postern_probe_port(void) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return errno;
    int error = bind(descriptor, (struct sockaddr *)&name, sizeof name) == 0 ? 0 : errno;
    close(descriptor);
    return error;
}

int postern_probe_root(void) { return setuid(0) == 0 ? 0 : errno; }
