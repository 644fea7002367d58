/*
 * The first process of the stand-in guest: a Linux that does nothing but run Wine and the agent. What it offers to the
 * host is outside the Windows guest, as this host is outside the machine `wine`: processes, maps, threads, clock, keys.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GUEST_PREFIX "/var/lib/hotswap/prefix"
#define GUEST_LOADER "/usr/lib/wine/wine64"
#define GUEST_SERVER "/usr/lib/wine/wineserver64"
#define GUEST_AGENT "C:\\hotswap\\hsagent.exe"
#define GUEST_AGENT_FILE GUEST_PREFIX "/drive_c/hotswap/hsagent.exe"
#define GUEST_KEYS "/etc/ssh"

/* One line on the console, with the seconds since the kernel started. */
__attribute__((format(printf, 1, 2))) void Say(const char *format, ...);

/* Whether the kernel's command line has this word. */
bool KernelOption(const char *word);
