#include "CLinux.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int postern_thread_count(void) {
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks) return -1;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(tasks));) count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

int postern_set_groups(const char *name, gid_t group, const gid_t *dropped, size_t dropped_count) {
    enum { capacity = 1024 };
    static gid_t groups[capacity];
    int count = capacity;
    if (getgrouplist(name, group, groups, &count) < 0) return E2BIG;
    size_t kept = 0;
    for (int i = 0; i < count; i++) {
        int keep = 1;
        // The primary group is set by setgid in any case.
        for (size_t k = 0; k < dropped_count; k++) keep &= groups[i] != dropped[k] || groups[i] == group;
        if (keep) groups[kept++] = groups[i];
    }
    return setgroups(kept, groups) == 0 ? 0 : errno;
}

int postern_fix_time_zone(void) {
    // With TZ unset the C library looks at /etc/localtime again and again, and takes its absence (in a chroot) for UTC.
    if (!getenv("TZ") && setenv("TZ", ":/etc/localtime", 1) != 0) return errno;
    tzset();
    return 0;
}

int postern_harden_process(void) {
    struct rlimit none = {0, 0};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct nothing[2] = {{0}, {0}};
    if (setrlimit(RLIMIT_CORE, &none) != 0) return errno;
    // Ambient ones (a service manager gives CAP_NET_BIND_SERVICE) would be inherited otherwise.
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) return errno;
    if (geteuid() != 0 && syscall(SYS_capset, &header, nothing) != 0) return errno;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    return 0;
}
