/*
 * Process 1 of the stand-in guest, twice: in the initial RAM disk it loads what the disk needs and goes over to it; there
 * it starts Wine and the agent, and from then on serves the host.
 */
#define _GNU_SOURCE
#include "control.h"
#include "guest.h"
#include "machine.h"
#include "modules.h"
#include "process.h"
#include "pump.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define AGENT_PORT "org.hotswap.agent.0"
#define CONTROL_PORT "org.hotswap.standin.0"
#define ROOT_DISK "/dev/vda"

enum { PumpVirtio, PumpCom, PumpEnd };

static PUMP Pumps[PumpEnd + 1];
static pid_t Shell;

void Say(const char *format, ...)
{
    char text[512];
    va_list values;
    unsigned long long now = MachineClock(true) / 1000000;
    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    dprintf(1, "[%4llu.%03llu] standin: %s\n", now / 1000, now % 1000, text);
}

bool KernelOption(const char *word)
{
    char line[4096];
    int file = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = file >= 0 ? read(file, line, sizeof(line) - 1) : 0;
    char *rest = NULL;
    if (file >= 0) {
        close(file);
    }
    line[size > 0 ? size : 0] = 0;
    for (char *at = strtok_r(line, " \n", &rest); at != NULL; at = strtok_r(NULL, " \n", &rest)) {
        if (strcmp(at, word) == 0) {
            return true;
        }
    }
    return false;
}

/* Nothing can be done without it: the kernel panics when its first process ends, and the host sees that. */
static void Must(bool done, const char *what)
{
    if (!done) {
        Say("%s: %s", what, strerror(errno));
        exit(1);
    }
}

static void ConsoleOpen(void)
{
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    if (console >= 0) {
        dup2(console, 0);
        dup2(console, 1);
        dup2(console, 2);
        if (console > 2) {
            close(console);
        }
    }
}

static void RamDiskStage(void)
{
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    ConsoleOpen();
    ModulesLoad("/modules");
    if (KernelOption("standin.probe")) {
        /* The accelerator has run a 64-bit guest with interrupts, processes and modules: that was the question. */
        Say("probe: running");
        sync();
        MachineEnd("power-off");
    }
    Must(mount(ROOT_DISK, "/root", "ext4", MS_NOATIME, NULL) == 0, "mounting the disk " ROOT_DISK);
    Must(mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) == 0, "moving /dev");
    umount("/proc");
    Must(chdir("/root") == 0 && mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0 && chdir("/") == 0,
         "going over to the disk");
    execl("/sbin/init", "/sbin/init", NULL);
    Must(false, "starting /sbin/init");
}

static void SystemMount(void)
{
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    mkdir("/dev/pts", 0755);
    mkdir("/dev/shm", 01777);
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666");
    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    symlink("/proc/self/fd", "/dev/fd");
}

static void LoopbackUp(void)
{
    struct ifreq card = {.ifr_name = "lo"};
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    card.ifr_flags = IFF_UP | IFF_RUNNING;
    if (handle < 0 || ioctl(handle, SIOCSIFFLAGS, &card) != 0) {
        Say("loopback: %s", strerror(errno));
    }
    close(handle);
}

/* The device of the virtio port with this name; empty when there is none. */
static void PortDevice(const char *wanted, char path[PATH_MAX])
{
    DIR *ports = opendir("/sys/class/virtio-ports");
    struct dirent *entry;
    path[0] = 0;
    while (ports != NULL && (entry = readdir(ports)) != NULL) {
        char name[128] = "", file[PATH_MAX];
        snprintf(file, sizeof(file), "/sys/class/virtio-ports/%s/name", entry->d_name);
        int handle = entry->d_name[0] == '.' ? -1 : open(file, O_RDONLY | O_CLOEXEC);
        if (handle >= 0) {
            ssize_t size = read(handle, name, sizeof(name) - 1);
            close(handle);
            name[size > 0 ? size : 0] = 0;
            name[strcspn(name, "\n")] = 0;
            if (strcmp(name, wanted) == 0) {
                snprintf(path, PATH_MAX, "/dev/%s", entry->d_name);
            }
        }
    }
    if (ports != NULL) {
        closedir(ports);
    }
}

/* Its first client, the agent, brings up Wine's services before anything of its own runs. */
static void WineStart(void)
{
    static const char *const server[] = {GUEST_SERVER, "-p", NULL};
    int code = ProcessRun(server, "/var/log/wineserver.log");
    if (code != 0) {
        Say("wineserver ended with %d", code);
    }
}

static void ShellStart(void)
{
    static const char *const argv[] = {"/usr/bin/busybox", "getty", "-n", "-l", "/usr/bin/sh", "0", "console", "linux", NULL};
    Shell = ProcessStart(argv, -1, -1, "/var/log/shell.log");
}

/* Children that have ended, those that Wine left to process 1 too. */
static void ChildrenReap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (PUMP *pump = Pumps; pump->name != NULL; pump++) {
            PumpChildEnded(pump, pid, status);
        }
        if (pid == Shell) {
            ShellStart();
        }
    }
}

static void Signalled(int signals)
{
    struct signalfd_siginfo found;
    bool host_changed = false;
    while (read(signals, &found, sizeof(found)) == sizeof(found)) {
        host_changed = host_changed || found.ssi_signo == SIGIO;
    }
    ChildrenReap();
    if (host_changed) {
        ControlHostChanged();
        for (PUMP *pump = Pumps; pump->name != NULL; pump++) {
            PumpHostChanged(pump);
        }
    }
}

static void Serve(int signals)
{
    for (;;) {
        struct pollfd polls[1 + PumpEnd * PUMP_POLLS + 1 + CONTROL_WATCHES];
        polls[0] = (struct pollfd){.fd = signals, .events = POLLIN};
        for (int at = 0; at < PumpEnd; at++) {
            PumpPolls(&Pumps[at], polls + 1 + at * PUMP_POLLS);
        }
        struct pollfd *control = polls + 1 + PumpEnd * PUMP_POLLS;
        unsigned count = (unsigned)(control - polls) + ControlPolls(control);
        if (poll(polls, count, -1) < 0) {
            continue;
        }
        for (int at = 0; at < PumpEnd; at++) {
            PumpRun(&Pumps[at], polls + 1 + at * PUMP_POLLS);
        }
        ControlRun(control);
        if (polls[0].revents != 0) {
            Signalled(signals);
        }
    }
}

static void DiskStage(void)
{
    char port[PATH_MAX];
    sigset_t mask;
    SystemMount();
    ModulesLoad("/lib/modules");
    Say("disk and modules are there");
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGIO);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    Must(signals >= 0, "signalfd");
    LoopbackUp();
    MachineName("standin");
    WineStart();
    PortDevice(AGENT_PORT, port);
    PumpOpen(&Pumps[PumpVirtio], "virtio", port);
    PumpOpen(&Pumps[PumpCom], "com2", "/dev/ttyS1");
    PortDevice(CONTROL_PORT, port);
    ControlOpen(port, Pumps);
    ShellStart();
    if (access(GUEST_AGENT_FILE, F_OK) == 0 && !PumpStart(&Pumps[PumpVirtio])) {
        Say("starting the agent: %s", strerror(errno));
    }
    Say("serving");
    Serve(signals);
}

int main(void)
{
    umask(022);
    if (access("/modules/order", F_OK) == 0) {
        RamDiskStage();
    }
    DiskStage();
    return 1;
}
