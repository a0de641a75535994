// Attempts for `postern role probe`: what a confined process can still do. Each returns 0 when it could, else errno.
#ifndef POSTERN_PROBE_H
#define POSTERN_PROBE_H

#include <sys/types.h>

/// Starts /bin/true in a new process; a process that was made is ended.
int postern_probe_program(void);
int postern_probe_ptrace(pid_t pid);
int postern_probe_mount(void);
int postern_probe_handle(void);
int postern_probe_bpf(void);
int postern_probe_executable_memory(void);
int postern_probe_signal(pid_t pid);
int postern_probe_packet_socket(void);
/// Binds a TCP port of loopback that the kernel may choose.
int postern_probe_port(void);
int postern_probe_root(void);

#endif
