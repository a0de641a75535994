// What a role gives up before it reads a byte from outside. All of it must be called while the process has one thread.
#ifndef POSTERN_CONFINE_H
#define POSTERN_CONFINE_H

#include <stddef.h>
#include <sys/types.h>

/// The number of this process's threads; -1 when /proc cannot tell.
int postern_thread_count(void);

/// Replaces the supplementary groups by those of user `name` (and `group`), less the `dropped` ones. Returns 0 or errno.
int postern_set_groups(const char *name, gid_t group, const gid_t *dropped, size_t dropped_count);

/// Reads the time zone now and for good: afterwards localtime(3) needs no file. Returns 0 or errno.
int postern_fix_time_zone(void);

/// What a role may do to files it has not opened yet, and to processes outside.
struct postern_landlock {
    /// Directories and files that may be read, ended by NULL.
    const char *const *readable;
    /// Directories and files that may be read, written, made and removed, ended by NULL.
    const char *const *writable;
    /// May not bind TCP ports.
    int no_ports;
    /// May not send signals to processes outside, nor connect to their abstract sockets.
    int isolated;
};

/// A Landlock rule set as a descriptor; paths are opened with the rights the process has now. Returns -1 with errno: ENOSYS or EOPNOTSUPP
/// when the kernel has no Landlock. `abi` becomes the version the kernel speaks, which says how much of the above it can keep.
int postern_landlock_prepare(const struct postern_landlock *wanted, int *abi);

/// Puts a rule set into force for this thread and all that it starts, for good, and closes it. Needs no-new-privileges. Returns 0 or errno.
int postern_landlock_enforce(int rule_set);

/// Refuses system calls that no role needs, with EPERM, for good. `no_programs` also refuses to start processes or programs, memory that is
/// executable, signals to others, and sockets that are neither IP nor unix. Needs no-new-privileges. Returns 0 or errno (EINVAL, ENOSYS: this
/// kernel or processor has no filter).
int postern_filter_system_calls(int no_programs);

/// No core files, no ptrace, no capabilities, no new privileges. Returns 0 or errno.
int postern_harden_process(void);

#endif
