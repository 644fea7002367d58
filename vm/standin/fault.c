#define _GNU_SOURCE
#include "fault.h"

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static void Spin(int processor, int ready, int gate)
{
    struct sched_param highest = {.sched_priority = sched_get_priority_max(SCHED_FIFO)};
    cpu_set_t own;
    char nothing;
    CPU_ZERO(&own);
    CPU_SET(processor, &own);
    sched_setaffinity(0, sizeof(own), &own);
    sched_setscheduler(0, SCHED_FIFO, &highest);
    if (write(ready, "", 1) != 1) {
        _exit(1);
    }
    while (read(gate, &nothing, 1) < 0 && errno == EINTR) {
    }
    for (;;) {
        __asm__ volatile("pause");
    }
}

int FaultHang(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int gate[2], ready[2];
    char nothing;
    /* Else the kernel keeps a twentieth of the time for the others. */
    int code = FaultSet("/proc/sys/kernel/sched_rt_runtime_us", "-1");
    if (code != 0) {
        return code;
    }
    if (pipe2(gate, O_CLOEXEC) != 0) {
        return errno;
    }
    if (pipe2(ready, O_CLOEXEC) != 0) {
        code = errno;
        close(gate[0]);
        close(gate[1]);
        return code;
    }
    for (int processor = 0; processor < processors; processor++) {
        pid_t pid = fork();
        if (pid == 0) {
            close(gate[1]);
            Spin(processor, ready[1], gate[0]);
        }
        if (pid < 0) {
            code = errno;
        }
    }
    close(gate[0]);
    close(ready[1]);
    for (long processor = 0; code == 0 && processor < processors; processor++) {
        if (read(ready[0], &nothing, 1) != 1) {
            code = EIO;
        }
    }
    close(ready[0]);
    /* All of them wake at once: the first alone might keep this process from starting the next. */
    close(gate[1]);
    return code;
}

int FaultFill(const char *path, unsigned long long leave)
{
    struct statvfs facts;
    off_t at = 0;
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) {
        return errno;
    }
    if (fstatvfs(file, &facts) != 0) {
        int code = errno;
        close(file);
        return code;
    }
    unsigned long long room = (unsigned long long)facts.f_bavail * facts.f_frsize;
    unsigned long long part = room > leave ? room - leave : 0;
    /* The file system needs some of the room for its own tables: smaller parts fit until none does. */
    while (part >= facts.f_frsize) {
        part -= part % facts.f_frsize;
        if (fallocate(file, 0, at, (off_t)part) == 0) {
            at += (off_t)part;
            fstatvfs(file, &facts);
            room = (unsigned long long)facts.f_bavail * facts.f_frsize;
            part = room > leave ? room - leave : 0;
        } else {
            part /= 2;
        }
    }
    close(file);
    return 0;
}

int FaultSet(const char *path, const char *text)
{
    int code = 0, file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) {
        return errno;
    }
    if (write(file, text, strlen(text)) != (ssize_t)strlen(text)) {
        code = errno;
    }
    close(file);
    return code;
}

int FaultSignal(pid_t pid, uint64_t started, int number)
{
    int code = 0, process = (int)syscall(SYS_pidfd_open, pid, 0);
    /* Looked at with the handle open, it cannot be a later one with its number. */
    if (process >= 0 && ProcessStarted(pid) == started &&
        syscall(SYS_pidfd_send_signal, process, number, NULL, 0) != 0) {
        code = errno;
    }
    if (process >= 0) {
        close(process);
    }
    return code;
}
