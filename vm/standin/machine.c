#define _GNU_SOURCE
#include "machine.h"

#include "process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SEED_BYTES 64
#define NETWORK_CARD "eth0"

static pid_t Sshd;

unsigned long long MachineClock(bool monotonic)
{
    struct timespec now;
    clock_gettime(monotonic ? CLOCK_MONOTONIC : CLOCK_REALTIME, &now);
    return (unsigned long long)now.tv_sec * 1000000000ull + (unsigned long long)now.tv_nsec;
}

int MachineSetClock(unsigned long long nanoseconds)
{
    struct timespec now = {.tv_sec = (time_t)(nanoseconds / 1000000000ull),
                           .tv_nsec = (long)(nanoseconds % 1000000000ull)};
    return clock_settime(CLOCK_REALTIME, &now) == 0 ? 0 : errno;
}

int MachineSeed(const char *hex)
{
    unsigned words[2 + SEED_BYTES / sizeof(unsigned)] = {0}; /* struct rand_pool_info: bits, bytes, the seed */
    unsigned char *bytes = (unsigned char *)(words + 2);
    unsigned size = 0, letter;
    int code = 0;
    for (; size < SEED_BYTES && hex[0] != 0 && hex[1] != 0 && sscanf(hex, "%2x", &letter) == 1; hex += 2) {
        bytes[size++] = (unsigned char)letter;
    }
    if (size < SEED_BYTES / 2) {
        return EINVAL;
    }
    words[0] = size * 8;
    words[1] = size;
    int file = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    if (file < 0) {
        return errno;
    }
    if (ioctl(file, RNDADDENTROPY, words) != 0 || ioctl(file, RNDRESEEDCRNG) != 0) {
        code = errno;
    }
    explicit_bzero(words, sizeof(words));
    close(file);
    return code;
}

int MachineName(const char *name)
{
    return sethostname(name, strlen(name)) == 0 ? 0 : errno;
}

static int CardSet(int socket, struct ifreq *card, short flags)
{
    card->ifr_flags = flags;
    return ioctl(socket, SIOCSIFFLAGS, card);
}

int MachineAddress(const char *hardware, const char *address)
{
    struct ifreq card = {0};
    unsigned bytes[6];
    int code = 0, handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in place = {.sin_family = AF_INET};
    if (handle < 0) {
        return errno;
    }
    snprintf(card.ifr_name, sizeof(card.ifr_name), "%s", NETWORK_CARD);
    if (sscanf(hardware, "%x:%x:%x:%x:%x:%x", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4], &bytes[5]) != 6 ||
        inet_pton(AF_INET, address, &place.sin_addr) != 1) {
        code = EINVAL;
    } else {
        card.ifr_hwaddr.sa_family = ARPHRD_ETHER;
        for (int at = 0; at < 6; at++) {
            card.ifr_hwaddr.sa_data[at] = (char)bytes[at];
        }
        struct ifreq wanted = card;
        code = ioctl(handle, SIOCSIFHWADDR, &wanted) == 0 ? 0 : errno;
        /* Most cards take it while they are up, and to take one down costs every fork some grace periods of RCU. */
        if (code == EBUSY) {
            code = CardSet(handle, &card, 0) == 0 && ioctl(handle, SIOCSIFHWADDR, &wanted) == 0 ? 0 : errno;
        }
        memcpy(&card.ifr_addr, &place, sizeof(place));
        code = code == 0 && ioctl(handle, SIOCSIFADDR, &card) != 0 ? errno : code;
        place.sin_addr.s_addr = htonl(0xffffff00);
        memcpy(&card.ifr_netmask, &place, sizeof(place));
        code = code == 0 && ioctl(handle, SIOCSIFNETMASK, &card) != 0 ? errno : code;
        if (CardSet(handle, &card, IFF_UP | IFF_RUNNING) != 0 && code == 0) {
            code = errno;
        }
    }
    close(handle);
    return code;
}

int MachineStartSsh(void)
{
    static const char *const argv[] = {"/usr/sbin/sshd", "-D", "-e", "-f", GUEST_KEYS "/sshd_config", NULL};
    if (Sshd > 0 && ProcessStarted(Sshd) != 0) {
        return kill(Sshd, SIGHUP) == 0 ? 0 : errno;
    }
    mkdir("/run/sshd", 0755);
    Sshd = ProcessStart(argv, -1, -1, "/var/log/sshd.log");
    return Sshd < 0 ? -Sshd : 0;
}

void MachineEnd(const char *how)
{
    if (strcmp(how, "panic") == 0) {
        int file = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
        if (file >= 0 && write(file, "c", 1) == 1) {
            close(file);
        }
    }
    bool off = strcmp(how, "power-off") == 0;
    if (off || strcmp(how, "reset") == 0) {
        sync();
        reboot(off ? RB_POWER_OFF : RB_AUTOBOOT);
    }
}
