// System calls whose C interface is made of macros or is missing from Swift's Glibc module.
#ifndef POSTERN_CLINUX_H
#define POSTERN_CLINUX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "confine.h"
#include "probe.h"

/// CRC-32C (Castagnoli) of `length` bytes, continuing from `crc` (0 to start). Uses SSE 4.2 where the processor has it.
uint32_t postern_crc32c(uint32_t crc, const void *data, size_t length);

/// Sends `length` bytes and, when `fd` is not negative, one descriptor, as one message. Returns bytes sent or -1 with errno.
ssize_t postern_send_fd(int socket, const void *data, size_t length, int fd);

/// Receives one message and the descriptor that came with it (-1 if none), close-on-exec. Returns bytes, 0 at end, -1 with errno.
ssize_t postern_receive_fd(int socket, void *data, size_t capacity, int *fd);

/// The user id of the process at the other end of a unix socket; -1 with errno on failure.
int postern_peer_uid(int socket, uid_t *uid, pid_t *pid);

/// A file without a name, close-on-exec; -1 with errno on failure.
int postern_memory_file(void);

/// Makes a signalfd for the signals the supervisor answers (TERM, INT, HUP, CHLD, USR1), blocked in this thread. -1 with errno on failure.
int postern_signal_descriptor(void);

/// The number of the next signal waiting in a signalfd; -1 when there is none.
int postern_next_signal(int descriptor);

/// Starts `path` with `argv` and `envp`, descriptor 3 being `control`, all signals unblocked and at their defaults. Returns 0 or errno.
int postern_spawn(pid_t *pid, const char *path, char *const argv[], char *const envp[], int control, int new_session);

/// Says which message this thread works on from here (0: none), and in which part of the program; returns the message before. Cheap.
uint64_t postern_work_on(uint64_t message, uint64_t place);

/// The part of the program that goes with the message of ``postern_work_on``.
uint64_t postern_work_place(void);

/// From here on, a fault of this process (a trap, an abort; not a signal sent by anyone else) writes message and place << 32 | signal of the
/// thread that failed into two words at `offset` of the file, which must exist; the process then ends as it would have. Returns 0 or errno.
int postern_watch_crashes(const char *path, size_t offset);

#endif
