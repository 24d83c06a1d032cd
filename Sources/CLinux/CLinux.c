// For struct ucred and SYS_pidfd_open; here alone, since in the header it would give this module another fd_set
// than Swift's Glibc has.
#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <malloc.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

ssize_t clinux_send_descriptors(int socket, const void *bytes, size_t length, const int *descriptors, size_t count) {
    if (count > CLINUX_MAX_DESCRIPTORS) {
        errno = EINVAL;
        return -1;
    }
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CLINUX_MAX_DESCRIPTORS)];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * count);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

ssize_t clinux_receive_descriptors(int socket, void *bytes, size_t capacity, int flags, int *descriptors,
                                   size_t *count, int *truncated) {
    struct iovec part = {.iov_base = bytes, .iov_len = capacity};
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CLINUX_MAX_DESCRIPTORS)];
        struct cmsghdr align;
    } control;
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    *count = 0;
    *truncated = 0;
    ssize_t received = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    if (received < 0) return received;
    *truncated = (message.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t carried = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < carried && *count < CLINUX_MAX_DESCRIPTORS; i++) {
            memcpy(&descriptors[*count], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            *count += 1;
        }
    }
    return received;
}

int clinux_peer_credentials_of(int socket, clinux_peer_credentials *credentials) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -1;
    credentials->pid = peer.pid;
    credentials->uid = peer.uid;
    credentials->gid = peer.gid;
    return 0;
}

int clinux_accept(int listener) {
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int clinux_pidfd_open(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int clinux_pipe(int ends[2]) {
    return pipe2(ends, O_CLOEXEC);
}

int clinux_forbid_dumps(void) {
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void clinux_tune_heap(int large) {
    mallopt(M_MMAP_THRESHOLD, large);
    mallopt(M_ARENA_MAX, 1);
}

void clinux_trim_heap(void) {
    malloc_trim(0);
}

int clinux_file_contains(int file, const void *bytes, size_t length, size_t limit) {
    struct stat status;
    if (fstat(file, &status) != 0) return -1;
    if (status.st_size <= 0) return 0;
    if ((size_t)status.st_size > limit) {
        errno = EFBIG;
        return -1;
    }
    void *content = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (content == MAP_FAILED) return -1;
    int found = memmem(content, (size_t)status.st_size, bytes, length) != NULL;
    munmap(content, (size_t)status.st_size);
    return found;
}

int clinux_unread_by_peer(int socket) {
    int unread = 0;
    return ioctl(socket, SIOCOUTQ, &unread) == 0 ? unread : -1;
}

int clinux_memory_file(const char *name) {
    return memfd_create(name, MFD_CLOEXEC);
}
