#define _GNU_SOURCE
#include "control.h"

#include "disc.h"
#include "fault.h"
#include "machine.h"
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONTROL_LINE 65536 /* of a request without what follows `put` */
#define CONTROL_WORDS 16
#define CONTROL_FILES 256 /* of a folder that are told */

typedef struct WATCH {
    int process; /* pidfd; -1: free */
    char id[24];
} WATCH;

static int Port = -1;
static bool Connected;
static PUMP *Pumps;
static WATCH Watches[CONTROL_WATCHES];
static char *Input;
static size_t InputSize, InputRoom;
static char *Output;
static size_t OutputSize, OutputSent, OutputRoom;

static void OutputAdd(const char *text, size_t size)
{
    if (OutputSize + size > OutputRoom) {
        OutputRoom = (OutputSize + size) * 2;
        Output = realloc(Output, OutputRoom);
        if (Output == NULL) {
            abort(); /* the kernel then panics, and says so */
        }
    }
    memcpy(Output + OutputSize, text, size);
    OutputSize += size;
}

__attribute__((format(printf, 1, 2))) static void Reply(const char *format, ...)
{
    char text[512];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    OutputAdd(text, size < (int)sizeof(text) ? (size_t)size : sizeof(text) - 1);
}

/* A blank and one word. */
static void ReplyWord(const char *word)
{
    Reply(" ");
    for (; *word != 0; word++) {
        unsigned char letter = (unsigned char)*word;
        if (letter <= ' ' || letter == '%' || letter >= 127) {
            Reply("%%%02X", letter);
        } else {
            OutputAdd(word, 1);
        }
    }
}

/* `failed` is what was attempted, `code` an errno. */
static void ReplyError(const char *id, const char *failed, int code)
{
    Reply("%s error %s: %s (errno %d)\n", id, failed, strerror(code), code);
}

static void ReplyDone(const char *id, int code, const char *failed)
{
    if (code == 0) {
        Reply("%s ok\n", id);
    } else {
        ReplyError(id, failed, code);
    }
}

static void Unescape(char *word)
{
    char *to = word;
    for (; *word != 0; word++) {
        unsigned letter;
        if (*word == '%' && isxdigit((unsigned char)word[1]) && sscanf(word + 1, "%2x", &letter) == 1) {
            *to++ = (char)letter;
            word += 2;
        } else {
            *to++ = *word;
        }
    }
    *to = 0;
}

static void ProcessAdd(void *context, pid_t pid, uint64_t started, const char *name)
{
    (void)context;
    Reply(" %d %llu", (int)pid, (unsigned long long)started);
    ReplyWord(name);
}

/* The threads of a process that have not ended. */
static void TasksAnswer(const char *id, pid_t pid)
{
    char path[64];
    struct dirent *entry;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    Reply("%s ok", id);
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        /* A process that nobody has waited for yet still lists its first thread, as a zombie. */
        if (isdigit((unsigned char)entry->d_name[0]) && ProcessStarted(pid) != 0) {
            Reply(" %s", entry->d_name);
        }
    }
    Reply("\n");
    if (folder != NULL) {
        closedir(folder);
    }
}

/* The files mapped into a process whose names end so; each once for each run of its mappings. */
static void MapsAnswer(const char *id, pid_t pid, const char *ending)
{
    char path[64], line[PATH_MAX + 128], last[PATH_MAX] = "";
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    Reply("%s ok", id);
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        char *name = strchr(line, '/');
        if (name == NULL) {
            continue;
        }
        name[strcspn(name, "\n")] = 0;
        size_t size = strlen(name), end = strlen(ending), gone = strlen(" (deleted)");
        if (size > gone && strcmp(name + size - gone, " (deleted)") == 0) {
            name[size -= gone] = 0;
        }
        if (size >= end && strcasecmp(name + size - end, ending) == 0 && strcmp(name, last) != 0) {
            ReplyWord(name);
            snprintf(last, sizeof(last), "%s", name);
        }
    }
    Reply("\n");
    if (maps != NULL) {
        fclose(maps);
    }
}

typedef struct FOUND {
    struct timespec changed;
    char name[256];
} FOUND;

static int FoundOrder(const void *left, const void *right)
{
    const struct timespec *one = &((const FOUND *)left)->changed, *two = &((const FOUND *)right)->changed;
    if (one->tv_sec != two->tv_sec) {
        return one->tv_sec < two->tv_sec ? -1 : 1;
    }
    return (one->tv_nsec > two->tv_nsec) - (one->tv_nsec < two->tv_nsec);
}

/* The names in a folder, the oldest first. */
static void FilesAnswer(const char *id, const char *path)
{
    static FOUND found[CONTROL_FILES];
    struct dirent *entry;
    struct stat facts;
    size_t count = 0;
    DIR *folder = opendir(path);
    while (folder != NULL && count < CONTROL_FILES && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.' && fstatat(dirfd(folder), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
            found[count].changed = facts.st_mtim;
            snprintf(found[count++].name, sizeof(found->name), "%s", entry->d_name);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    qsort(found, count, sizeof(FOUND), FoundOrder);
    Reply("%s ok", id);
    for (size_t at = 0; at < count; at++) {
        ReplyWord(found[at].name);
    }
    Reply("\n");
}

/* A whole file of /proc or a log, the last `most` bytes of it. */
static void ReadAnswer(const char *id, const char *path, long most)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    char part[4096];
    ssize_t size;
    if (file < 0) {
        ReplyError(id, path, errno);
        return;
    }
    /* The sizes of files in /sys mean nothing, and those in /proc have none. */
    off_t end = strncmp(path, "/sys/", 5) == 0 ? 0 : lseek(file, 0, SEEK_END);
    lseek(file, end > most ? end - most : 0, SEEK_SET);
    Reply("%s ok ", id);
    while (most > 0 && (size = read(file, part, most < 2048 ? (size_t)most : 2048)) > 0) {
        for (ssize_t at = 0; at < size; at++) {
            Reply("%02x", (unsigned char)part[at]);
        }
        most -= size;
    }
    Reply("\n");
    close(file);
}

/* What the kernel has said since its start, the last `most` bytes of it. */
static void KernelLogAnswer(const char *id, long most)
{
    int size = klogctl(10 /* SYSLOG_ACTION_SIZE_BUFFER */, NULL, 0);
    char *text = size > 0 ? malloc((size_t)size) : NULL;
    int got = text != NULL ? klogctl(3 /* SYSLOG_ACTION_READ_ALL */, text, size) : -1;
    if (got < 0) {
        ReplyError(id, "kernel-log", errno);
    } else {
        Reply("%s ok ", id);
        for (long at = got > most ? got - most : 0; at < got; at++) {
            Reply("%02x", (unsigned char)text[at]);
        }
        Reply("\n");
    }
    free(text);
}

static void WatchBegin(const char *id, pid_t pid, uint64_t started)
{
    for (unsigned at = 0; at < CONTROL_WATCHES; at++) {
        WATCH *watch = &Watches[at];
        if (watch->process >= 0) {
            continue;
        }
        int process = (int)syscall(SYS_pidfd_open, pid, 0);
        /* Looked at with the handle open, it cannot be a later one with its number. */
        if (process < 0 || ProcessStarted(pid) != started) {
            Reply("%s ok\n", id);
            if (process >= 0) {
                close(process);
            }
            return;
        }
        fcntl(process, F_SETFD, FD_CLOEXEC);
        watch->process = process;
        snprintf(watch->id, sizeof(watch->id), "%s", id);
        return;
    }
    ReplyError(id, "watch", ENOSPC);
}

static void WatchForget(const char *id)
{
    for (unsigned at = 0; at < CONTROL_WATCHES; at++) {
        if (Watches[at].process >= 0 && strcmp(Watches[at].id, id) == 0) {
            close(Watches[at].process);
            Watches[at].process = -1;
        }
    }
}

/* Write a file whole: under another name, then renamed. */
static int FilePut(const char *path, unsigned mode, const char *bytes, size_t size)
{
    char partial[PATH_MAX];
    snprintf(partial, sizeof(partial), "%s.partial", path);
    for (char *slash = strchr(partial + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(partial, 0755);
        *slash = '/';
    }
    int file = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (file < 0) {
        return errno;
    }
    for (size_t done = 0; done < size;) {
        ssize_t part = write(file, bytes + done, size - done);
        if (part < 0) {
            int code = errno;
            close(file);
            unlink(partial);
            return code;
        }
        done += (size_t)part;
    }
    fchmod(file, mode);
    int code = fsync(file) == 0 ? 0 : errno;
    close(file);
    if (code == 0 && rename(partial, path) != 0) {
        code = errno;
    }
    *strrchr(partial, '/') = 0;
    file = code == 0 ? open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (file >= 0) {
        /* Its new name outlives a power cut, too. */
        code = fsync(file) == 0 ? 0 : errno;
        close(file);
    }
    return code;
}

static PUMP *PumpNamed(const char *name)
{
    for (PUMP *pump = Pumps; pump->name != NULL; pump++) {
        if (strcmp(pump->name, name) == 0) {
            return pump;
        }
    }
    return NULL;
}

static void AgentAnswer(const char *id, const char *name)
{
    PUMP *pump = PumpNamed(name);
    if (pump == NULL || pump->port < 0) {
        ReplyError(id, "agent", ENXIO);
    } else if (!PumpStart(pump)) {
        ReplyError(id, "agent", errno);
    } else {
        Reply("%s ok %d %u\n", id, (int)pump->agent, pump->starts);
    }
}

/* One request; `extra` are the bytes behind its line, of which there are enough. */
static void Answer(char **words, unsigned count, const char *extra, size_t extra_size)
{
    const char *id = words[0], *verb = words[1];
#define IS(name, arguments) (strcmp(verb, name) == 0 && count == 2 + (arguments))
    if (IS("clock", 0)) {
        Reply("%s ok %llu %llu\n", id, MachineClock(false), MachineClock(true));
    } else if (IS("set-clock", 1)) {
        ReplyDone(id, MachineSetClock(strtoull(words[2], NULL, 10)), "set-clock");
    } else if (IS("random", 1)) {
        ReplyDone(id, MachineSeed(words[2]), "random");
    } else if (IS("name", 1)) {
        ReplyDone(id, MachineName(words[2]), "name");
    } else if (IS("address", 2)) {
        ReplyDone(id, MachineAddress(words[2], words[3]), "address");
    } else if (IS("put", 3)) {
        ReplyDone(id, FilePut(words[2], (unsigned)strtoul(words[3], NULL, 8), extra, extra_size), words[2]);
    } else if (IS("read", 2)) {
        ReadAnswer(id, words[2], strtol(words[3], NULL, 10));
    } else if (IS("files", 1)) {
        FilesAnswer(id, words[2]);
    } else if (IS("agent", 1)) {
        AgentAnswer(id, words[2]);
    } else if (IS("ssh", 0)) {
        ReplyDone(id, MachineStartSsh(), "ssh");
    } else if (IS("disc-mount", 0)) {
        ReplyDone(id, DiscMount(), "disc-mount");
    } else if (IS("disc-release", 0)) {
        ReplyDone(id, DiscRelease(), "disc-release");
    } else if (IS("processes", 0)) {
        Reply("%s ok", id);
        ProcessEach(ProcessAdd, NULL);
        Reply("\n");
    } else if (IS("maps", 2)) {
        MapsAnswer(id, atoi(words[2]), words[3]);
    } else if (IS("tasks", 1)) {
        TasksAnswer(id, atoi(words[2]));
    } else if (IS("watch", 2)) {
        WatchBegin(id, atoi(words[2]), strtoull(words[3], NULL, 10));
    } else if (IS("forget", 1)) {
        WatchForget(words[2]);
        Reply("%s ok\n", id);
    } else if (IS("signal", 3)) {
        ReplyDone(id, FaultSignal(atoi(words[2]), strtoull(words[3], NULL, 10), atoi(words[4])), "signal");
    } else if (IS("set", 2)) {
        ReplyDone(id, FaultSet(words[2], words[3]), words[2]);
    } else if (IS("fill", 2)) {
        ReplyDone(id, FaultFill(words[2], strtoull(words[3], NULL, 10)), words[2]);
    } else if (IS("remove", 1)) {
        ReplyDone(id, unlink(words[2]) == 0 ? 0 : errno, words[2]);
    } else if (IS("kernel-log", 1)) {
        KernelLogAnswer(id, strtol(words[2], NULL, 10));
    } else if (IS("hang", 0)) {
        ReplyDone(id, FaultHang(), "hang");
    } else if (IS("sync", 0)) {
        sync();
        Reply("%s ok\n", id);
    } else if (IS("end", 1)) {
        MachineEnd(words[2]);
        ReplyError(id, words[2], EINVAL);
    } else {
        ReplyError(id, verb, ENOSYS);
    }
#undef IS
}

/* The first request of what has come, if it is whole. Returns the bytes it took. */
static size_t AnswerNext(void)
{
    char *words[CONTROL_WORDS], *rest = NULL;
    unsigned count = 0;
    char *end = memchr(Input, '\n', InputSize);
    if (end == NULL) {
        return InputSize >= CONTROL_LINE ? InputSize : 0;
    }
    size_t line = (size_t)(end - Input) + 1, extra = 0;
    char *copy = strndup(Input, line - 1);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL && count < CONTROL_WORDS;
         word = strtok_r(NULL, " ", &rest)) {
        words[count++] = word;
    }
    if (count == 5 && strcmp(words[1], "put") == 0) {
        extra = strtoul(words[4], NULL, 10);
    }
    if (extra > InputSize - line) {
        free(copy);
        return 0;
    }
    for (unsigned at = 0; at < count; at++) {
        Unescape(words[at]);
    }
    if (count >= 2) {
        Answer(words, count, end + 1, extra);
    }
    free(copy);
    return line + extra;
}

void ControlOpen(const char *port, PUMP *pumps)
{
    Pumps = pumps;
    for (unsigned at = 0; at < CONTROL_WATCHES; at++) {
        Watches[at].process = -1;
    }
    Port = open(port, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (Port < 0) {
        Say("control port %s: %s", port, strerror(errno));
        return;
    }
    fcntl(Port, F_SETOWN, getpid());
    fcntl(Port, F_SETFL, fcntl(Port, F_GETFL) | O_ASYNC);
    Connected = true;
}

unsigned ControlPolls(struct pollfd *polls)
{
    unsigned count = 0;
    short events = (short)(POLLIN | (OutputSize != OutputSent ? POLLOUT : 0));
    polls[count++] = (struct pollfd){.fd = Connected ? Port : -1, .events = events};
    for (unsigned at = 0; at < CONTROL_WATCHES; at++) {
        polls[count++] = (struct pollfd){.fd = Watches[at].process, .events = POLLIN};
    }
    return count;
}

/* A new connection: nothing of the last one is left. */
static void ControlForget(void)
{
    InputSize = OutputSize = OutputSent = 0;
    for (unsigned at = 0; at < CONTROL_WATCHES; at++) {
        if (Watches[at].process >= 0) {
            close(Watches[at].process);
            Watches[at].process = -1;
        }
    }
}

/* TRUE when something came. */
static bool ControlRead(void)
{
    bool came = false;
    for (;;) {
        if (InputRoom - InputSize < 65536) {
            InputRoom = InputRoom * 2 + 131072;
            Input = realloc(Input, InputRoom);
            if (Input == NULL) {
                abort();
            }
        }
        ssize_t size = read(Port, Input + InputSize, InputRoom - InputSize);
        if (size <= 0) {
            return came;
        }
        came = true;
        InputSize += (size_t)size;
        for (size_t taken; InputSize != 0 && (taken = AnswerNext()) != 0;) {
            memmove(Input, Input + taken, InputSize - taken);
            InputSize -= taken;
        }
    }
}

void ControlRun(const struct pollfd *polls)
{
    bool came = polls[0].fd >= 0 && (polls[0].revents & POLLIN) != 0 && ControlRead();
    if (polls[0].fd >= 0 && (polls[0].revents & POLLHUP) != 0) {
        Connected = false;
        if (!came) {
            ControlForget();
            return;
        }
        /* Bytes overtake the word that the host has connected, which the kernel still works on: the answer waits. */
    }
    for (unsigned at = 0; at < CONTROL_WATCHES; at++) {
        if (Watches[at].process >= 0 && polls[1 + at].fd == Watches[at].process && polls[1 + at].revents != 0) {
            Reply("%s ok\n", Watches[at].id);
            close(Watches[at].process);
            Watches[at].process = -1;
        }
    }
    while (OutputSize != OutputSent) {
        ssize_t size = write(Port, Output + OutputSent, OutputSize - OutputSent);
        if (size <= 0) {
            return;
        }
        OutputSent += (size_t)size;
    }
    OutputSize = OutputSent = 0;
}

void ControlHostChanged(void)
{
    if (Port >= 0 && !Connected) {
        Connected = true;
    }
}
