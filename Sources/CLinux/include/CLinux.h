#pragma once
// Linux interfaces that Swift's Glibc module does not import: epoll, eventfd, timerfd, netlink, and the
// control-message macros of <sys/socket.h> as functions.
//
// It includes <sys/socket.h>, as Swift's Glibc does, and to which of the two the compiler attributes a constant such as
// SOCK_STREAM depends on the order in which it reads files. So whoever uses one imports both; `make lint` looks.
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

/// The most descriptors one message may carry; what a peer sends beyond it is an error (MSG_CTRUNC).
enum { CLINUX_MAX_DESCRIPTORS = 8 };

/// The peer of a Unix socket, as the kernel knows it (SO_PEERCRED).
typedef struct {
    pid_t pid;
    uid_t uid;
    gid_t gid;
} clinux_peer_credentials;

/// Sends `length` bytes and `count` descriptors in one message. Returns what sendmsg(2) returns.
ssize_t clinux_send_descriptors(int socket, const void *bytes, size_t length, const int *descriptors, size_t count);

/// Receives bytes and at most CLINUX_MAX_DESCRIPTORS descriptors, close-on-exec. `*count` tells how many
/// came, `*truncated` whether the kernel had to drop some. Returns what recvmsg(2) returns.
ssize_t clinux_receive_descriptors(int socket, void *bytes, size_t capacity, int flags, int *descriptors,
                                   size_t *count, int *truncated);

/// SO_PEERCRED. 0, or -1 with errno.
int clinux_peer_credentials_of(int socket, clinux_peer_credentials *credentials);

/// accept4(2), non-blocking and close-on-exec. Returns what accept4(2) returns.
int clinux_accept(int listener);

/// pidfd_open(2), which glibc 2.36 declares in a header that clashes with <signal.h> in modules.
int clinux_pidfd_open(pid_t pid);

/// pipe2(2), close-on-exec: the reading end first.
int clinux_pipe(int ends[2]);

/// Forbids core dumps of this process and others' looks into it (PR_SET_DUMPABLE of prctl(2)). 0, or -1 with errno.
int clinux_forbid_dumps(void);

/// Has the allocator take what is at least so large straight from the system, and give it back at once when it is freed; and
/// keep one heap for all threads (M_MMAP_THRESHOLD and M_ARENA_MAX of mallopt(3)).
void clinux_tune_heap(int large);

/// Gives the allocator's free memory back to the system (malloc_trim(3)). Takes milliseconds where the heap is large.
void clinux_trim_heap(void);

/// Whether the file has these bytes in it. 1 or 0; -1 with errno where it cannot be read, or has more than `limit` bytes (EFBIG).
int clinux_file_contains(int file, const void *bytes, size_t length, size_t limit);

/// Bytes and what the kernel needs for them that the peer of a Unix socket did not read yet (SIOCOUTQ); 0 when it read all. -1
/// with errno.
int clinux_unread_by_peer(int socket);

/// memfd_create(2), close-on-exec. Returns what memfd_create(2) returns.
int clinux_memory_file(const char *name);

/// This process's arguments, its own name first, as the kernel passed them. Needs no /proc.
int clinux_argument_count(void);
char *const *clinux_arguments(void);

/// The path with which this program was started, as execve(2) got it (AT_EXECFN of getauxval(3)): it may be relative. NULL where
/// the kernel does not tell.
const char *clinux_executable_name(void);

/// Starts a program found in PATH of `environment`, in a process group of its own, with /dev/null as input and the two given
/// descriptors as output and errors. All signals are as at log-in, and it gets SIGTERM when the thread that made this call
/// ends. Returns 0 and `*pid`, or an errno: ENOENT, EACCES and the like come from exec(3).
int clinux_spawn_helper(char *const *arguments, char *const *environment, int output, int errors, pid_t *pid);

/// The same, but does not wait for a program whose file system hangs: -1 when it was not started within so many milliseconds, -2 when
/// `cancellation` became readable before that. `*pid` is then the process that still tries; the caller kills it and waits for it.
int clinux_spawn_helper_within(char *const *arguments, char *const *environment, int output, int errors, int cancellation,
                               int milliseconds, pid_t *pid);

/// Starts the program at `path` so that it is no child of this process: through one that ends at once. All signals are as at
/// log-in, and `channel` is open as `number` there. Where `is_watched`, its environment also has its own number as WATCHDOG_PID.
/// Returns 0 and `*pid` when the program runs, or an errno. Blocks for as long as two forks and an exec take.
int clinux_start_successor(const char *path, char *const *arguments, char *const *environment, int is_watched,
                           int channel, int number, pid_t *pid);
