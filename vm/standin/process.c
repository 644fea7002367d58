#define _GNU_SOURCE
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The whole environment of what runs here; the machine `wine` gives its guests the same. */
static const char *const Environment[] = {
    "PATH=/usr/sbin:/usr/bin",
    "LANG=C.UTF-8",
    "HOME=/root",
    "TMPDIR=/tmp",
    "WINEARCH=win64",
    "WINEDEBUG=fixme-all",
    "WINEDLLOVERRIDES=mscoree,mshtml,winemenubuilder.exe=",
    "WINEPREFIX=" GUEST_PREFIX,
    "WINELOADER=" GUEST_LOADER,
    "WINESERVER=" GUEST_SERVER,
    NULL,
};

static void ProcessBecome(const char *const argv[], int in, int out, const char *log)
{
    sigset_t none;
    int nothing = open("/dev/null", O_RDWR);
    int words = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    dup2(in >= 0 ? in : nothing, 0);
    dup2(out >= 0 ? out : words, 1);
    dup2(words, 2);
    close_range(3, ~0u, 0);
    if (chdir("/root") == 0) {
        execve(argv[0], (char *const *)argv, (char *const *)Environment);
    }
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pid_t ProcessStart(const char *const argv[], int in, int out, const char *log)
{
    pid_t pid = fork();
    if (pid == 0) {
        ProcessBecome(argv, in, out, log);
    }
    return pid < 0 ? -errno : pid;
}

int ProcessRun(const char *const argv[], const char *log)
{
    int status = 0;
    pid_t pid = ProcessStart(argv, -1, -1, log);
    if (pid < 0) {
        return pid;
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Fields of /proc/PID/stat: name, state letter, parent, flags, start time. False when there is no such process. */
static bool ProcessStat(pid_t pid, char name[64], char *state, unsigned *flags, uint64_t *started)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false;
    }
    ssize_t size = read(file, text, sizeof(text) - 1);
    close(file);
    if (size <= 0) {
        return false;
    }
    text[size] = 0;
    char *open_bracket = strchr(text, '('), *close_bracket = strrchr(text, ')');
    if (open_bracket == NULL || close_bracket == NULL) {
        return false;
    }
    *close_bracket = 0;
    snprintf(name, 64, "%s", open_bracket + 1);
    unsigned long long ticks = 0;
    int found = sscanf(close_bracket + 2,
                       "%c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", state, flags,
                       &ticks);
    *started = ticks;
    return found == 3;
}

uint64_t ProcessStarted(pid_t pid)
{
    char name[64], state;
    unsigned flags;
    uint64_t started;
    return ProcessStat(pid, name, &state, &flags, &started) && state != 'Z' && state != 'X' ? started : 0;
}

void ProcessEach(void (*each)(void *context, pid_t pid, uint64_t started, const char *name), void *context)
{
    const unsigned kernel_thread = 0x00200000; /* PF_KTHREAD */
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char name[64], state;
        unsigned flags;
        uint64_t started;
        pid_t pid = atoi(entry->d_name);
        if (pid > 0 && ProcessStat(pid, name, &state, &flags, &started) && (flags & kernel_thread) == 0 &&
            state != 'Z' && state != 'X') {
            each(context, pid, started, name);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}
