#define _GNU_SOURCE
#include "pump.h"

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static size_t BufferRoom(PUMP_BUFFER *buffer)
{
    if (buffer->start == buffer->end) {
        buffer->start = buffer->end = 0;
    } else if (buffer->start != 0 && buffer->end == PUMP_BYTES) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, buffer->end - buffer->start);
        buffer->end -= buffer->start;
        buffer->start = 0;
    }
    return PUMP_BYTES - buffer->end;
}

/* Read what is there: 1 some, 0 the other end is gone, -1 nothing now. */
static int BufferFill(PUMP_BUFFER *buffer, int from)
{
    ssize_t size = read(from, buffer->bytes + buffer->end, BufferRoom(buffer));
    if (size > 0) {
        buffer->end += (size_t)size;
        return 1;
    }
    return size < 0 && (errno == EAGAIN || errno == EINTR) ? -1 : 0;
}

/* Write what is held: 1 some or nothing to do, 0 the other end is gone, -1 it takes nothing now. */
static int BufferDrain(PUMP_BUFFER *buffer, int to)
{
    if (buffer->start == buffer->end) {
        return 1;
    }
    ssize_t size = write(to, buffer->bytes + buffer->start, buffer->end - buffer->start);
    if (size > 0) {
        buffer->start += (size_t)size;
        return 1;
    }
    return size == 0 || errno == EAGAIN || errno == EINTR ? -1 : 0;
}

static void PumpDropAgent(PUMP *pump)
{
    if (pump->to >= 0) {
        close(pump->to);
        close(pump->from);
    }
    pump->to = pump->from = -1;
    pump->inward.start = pump->inward.end = 0;
}

void PumpOpen(PUMP *pump, const char *name, const char *port)
{
    struct termios line;
    pump->name = name;
    pump->agent = 0;
    pump->to = pump->from = -1;
    pump->port = open(port, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (pump->port < 0) {
        Say("port %s (%s): %s", name, port, strerror(errno));
        return;
    }
    if (tcgetattr(pump->port, &line) == 0) {
        cfmakeraw(&line);
        cfsetspeed(&line, B115200);
        line.c_cflag |= CLOCAL | CREAD;
        tcsetattr(pump->port, TCSANOW, &line);
        tcflush(pump->port, TCIFLUSH);
    } else {
        /* The kernel tells by a signal when the host opens or closes a virtio port; poll would only spin. */
        fcntl(pump->port, F_SETOWN, getpid());
        fcntl(pump->port, F_SETFL, fcntl(pump->port, F_GETFL) | O_ASYNC);
    }
    pump->connected = true;
}

bool PumpStart(PUMP *pump)
{
    static const char *const argv[] = {GUEST_LOADER, GUEST_AGENT, "--pipe", NULL};
    int in[2], out[2];
    char log[64];
    if (pump->agent != 0) {
        return true;
    }
    if (pipe2(in, O_CLOEXEC) != 0) {
        return false;
    }
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return false;
    }
    snprintf(log, sizeof(log), "/var/log/agent-%s.log", pump->name);
    pid_t pid = ProcessStart(argv, in[0], out[1], log);
    close(in[0]);
    close(out[1]);
    if (pid < 0) {
        close(in[1]);
        close(out[0]);
        errno = -pid;
        return false;
    }
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    pump->agent = pid;
    pump->to = in[1];
    pump->from = out[0];
    pump->starts++;
    return true;
}

void PumpPolls(PUMP *pump, struct pollfd *polls)
{
    bool inward = pump->inward.start != pump->inward.end, outward = pump->outward.start != pump->outward.end;
    short port = (short)((BufferRoom(&pump->inward) != 0 ? POLLIN : 0) | (outward ? POLLOUT : 0));
    polls[0] = (struct pollfd){.fd = pump->connected ? pump->port : -1, .events = port};
    polls[1] = (struct pollfd){.fd = inward ? pump->to : -1, .events = POLLOUT};
    polls[2] = (struct pollfd){.fd = BufferRoom(&pump->outward) != 0 ? pump->from : -1, .events = POLLIN};
}

void PumpRun(PUMP *pump, const struct pollfd *polls)
{
    if (polls[0].fd >= 0 && polls[0].revents != 0) {
        bool came = (polls[0].revents & POLLIN) != 0 && BufferFill(&pump->inward, pump->port) == 1;
        if ((polls[0].revents & POLLHUP) != 0) {
            pump->connected = false;
            if (!came) {
                /* Nobody listens: what the agent said is lost, and its journal answers who asks again. */
                pump->outward.start = pump->outward.end = 0;
            }
        }
    }
    if (pump->inward.start != pump->inward.end && pump->agent == 0 && !PumpStart(pump)) {
        Say("starting the agent for port %s: %s", pump->name, strerror(errno));
        pump->inward.start = pump->inward.end = 0;
    }
    if (pump->to >= 0 && BufferDrain(&pump->inward, pump->to) == 0) {
        PumpDropAgent(pump);
    }
    if (polls[2].fd >= 0 && polls[2].fd == pump->from && polls[2].revents != 0) {
        BufferFill(&pump->outward, pump->from);
    }
    if (pump->connected && pump->port >= 0) {
        BufferDrain(&pump->outward, pump->port);
    }
}

bool PumpChildEnded(PUMP *pump, pid_t pid, int status)
{
    if (pump->agent != pid || pid == 0) {
        return false;
    }
    Say("the agent of port %s has ended, status 0x%x", pump->name, (unsigned)status);
    if (pump->from >= 0) {
        while (BufferFill(&pump->outward, pump->from) == 1 && BufferRoom(&pump->outward) != 0) {
        }
    }
    PumpDropAgent(pump);
    pump->agent = 0;
    return true;
}

void PumpHostChanged(PUMP *pump)
{
    pump->connected = pump->port >= 0;
}
