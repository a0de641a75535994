#include "CLinux.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef OWN_ARCHITECTURE

// A list of what is refused, not of what is allowed: a new version of a library that makes another harmless call must not end the service.
static const int refused_always[] = {
    // Other processes.
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, 438 /* pidfd_getfd */, 440 /* process_madvise */,
    // File systems and their names.
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, 428 /* open_tree */, 429 /* move_mount */, 430 /* fsopen */, 431 /* fsconfig */,
    432 /* fsmount */, 433 /* fspick */, 442 /* mount_setattr */, SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_quotactl,
    443 /* quotactl_fd */, SYS_swapon, SYS_swapoff, SYS_mknodat,
    // Namespaces.
    SYS_unshare, SYS_setns,
    // The kernel's machinery, and parts of it that had many holes.
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, 425 /* io_uring_setup */, 426 /* io_uring_enter */, 427 /* io_uring_register */,
    SYS_add_key, SYS_request_key, SYS_keyctl, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_syslog, SYS_acct,
    SYS_personality, SYS_nfsservctl, SYS_lookup_dcookie, SYS_fanotify_init,
    // The machine.
    SYS_reboot, SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_vhangup,
#if defined(__x86_64__)
    SYS_mknod, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl, SYS_kexec_file_load,
#endif
#if defined(__aarch64__)
    294 /* kexec_file_load */,
#endif
};

static const int refused_without_programs[] = {
    SYS_execve, SYS_execveat, SYS_tkill, 424 /* pidfd_send_signal */, 434 /* pidfd_open */, SYS_memfd_create,
#if defined(__x86_64__)
    SYS_fork, SYS_vfork,
#endif
};

enum { capacity = 512, x32_bit = 0x40000000 };

struct program {
    struct sock_filter code[capacity];
    unsigned short length;
};

static void add(struct program *p, struct sock_filter instruction) {
    if (p->length < capacity) p->code[p->length++] = instruction;
}

#define STATEMENT(code, k) add(p, (struct sock_filter)BPF_STMT(code, k))
#define BRANCH(code, k, yes, no) add(p, (struct sock_filter)BPF_JUMP(code, k, yes, no))
// The low half of an argument; flags and small numbers live there.
#define LOAD_ARGUMENT(n) STATEMENT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (n)))
#define LOAD_NUMBER() STATEMENT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr))
#define ALLOW() STATEMENT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE(error) STATEMENT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
// Skips `length` instructions unless this is call `number`.
#define UNLESS_CALL(number, length) BRANCH(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(number), 0, length)

static void refuse_all(struct program *p, const int *numbers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        UNLESS_CALL(numbers[i], 1);
        REFUSE(EPERM);
    }
}

static void refuse_flag(struct program *p, int number, int argument, uint32_t flag) {
    UNLESS_CALL(number, 4);
    LOAD_ARGUMENT(argument);
    BRANCH(BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1);
    REFUSE(EPERM);
    ALLOW();
}

static void allow_only_threads(struct program *p) {
    UNLESS_CALL(SYS_clone, 4);
    LOAD_ARGUMENT(0);
    BRANCH(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0);
    REFUSE(EPERM);
    ALLOW();
    // Its flags are in memory, where a filter cannot look; the C library then takes clone.
    UNLESS_CALL(435 /* clone3 */, 1);
    REFUSE(ENOSYS);
}

static void allow_only_own_signals(struct program *p, int number) {
    UNLESS_CALL(number, 4);
    LOAD_ARGUMENT(0);
    BRANCH(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)getpid(), 1, 0);
    REFUSE(EPERM);
    ALLOW();
}

static void allow_only_known_families(struct program *p, int number) {
    UNLESS_CALL(number, 6);
    LOAD_ARGUMENT(0);
    BRANCH(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 3, 0);
    BRANCH(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0);
    BRANCH(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0);
    REFUSE(EAFNOSUPPORT);
    ALLOW();
}

// Characters put into the terminal that a server in the foreground was started from.
static void refuse_typing(struct program *p) {
    UNLESS_CALL(SYS_ioctl, 5);
    LOAD_ARGUMENT(1);
    BRANCH(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0);
    BRANCH(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1);
    REFUSE(EPERM);
    ALLOW();
}

int postern_filter_system_calls(int no_programs) {
    static struct program filter;
    struct program *p = &filter;
    p->length = 0;
    STATEMENT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, arch));
    BRANCH(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 1, 0);
    STATEMENT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    LOAD_NUMBER();
#if defined(__x86_64__)
    BRANCH(BPF_JMP | BPF_JGE | BPF_K, x32_bit, 0, 1);
    REFUSE(ENOSYS);
#endif
    refuse_all(p, refused_always, sizeof refused_always / sizeof *refused_always);
    refuse_typing(p);
    // Returns 0 and does nothing: libdispatch asks for a better priority than a user may have, and would report its failure to syslog by
    // a call that waits for the daemon.
    UNLESS_CALL(SYS_setpriority, 1);
    REFUSE(0);
    if (no_programs) {
        refuse_all(p, refused_without_programs, sizeof refused_without_programs / sizeof *refused_without_programs);
        allow_only_threads(p);
        refuse_flag(p, SYS_mmap, 2, PROT_EXEC);
        refuse_flag(p, SYS_mprotect, 2, PROT_EXEC);
        refuse_flag(p, SYS_pkey_mprotect, 2, PROT_EXEC);
        allow_only_own_signals(p, SYS_kill);
        allow_only_own_signals(p, SYS_tgkill);
        allow_only_own_signals(p, SYS_rt_sigqueueinfo);
        allow_only_own_signals(p, SYS_rt_tgsigqueueinfo);
        allow_only_known_families(p, SYS_socket);
        allow_only_known_families(p, SYS_socketpair);
    }
    ALLOW();
    if (p->length >= capacity) return E2BIG;
    struct sock_fprog program = {.len = p->length, .filter = p->code};
    // All threads, should there be any. No change to speculation: the process runs no code but its own.
    enum { all_threads = 1, leave_speculation = 4 };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, all_threads | leave_speculation, &program) == 0) return 0;
    if (errno != EINVAL) return errno;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, all_threads, &program) == 0 ? 0 : errno;
}

#else

int postern_filter_system_calls(int no_programs) {
    (void)no_programs;
    return ENOSYS;
}

#endif
