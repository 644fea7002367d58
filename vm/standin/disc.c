#define _GNU_SOURCE
#include "disc.h"

#include "guest.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISC_DRIVE "/dev/sr0"
#define DISC_FOLDER "/run/disc"
#define DISC_LETTER GUEST_PREFIX "/dosdevices/d:"

/* UDF first, as Windows does: it has the names as they were given. */
static const struct {
    const char *type, *options;
} FileSystems[] = {{"udf", "utf8"}, {"iso9660", "utf8"}};

int DiscMount(void)
{
    int code = ENODEV;
    mkdir(DISC_FOLDER, 0755);
    for (unsigned at = 0; at < sizeof(FileSystems) / sizeof(*FileSystems); at++) {
        if (mount(DISC_DRIVE, DISC_FOLDER, FileSystems[at].type, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                  FileSystems[at].options) == 0) {
            unlink(DISC_LETTER);
            if (symlink(DISC_FOLDER, DISC_LETTER) == 0) {
                return 0;
            }
            code = errno;
            umount(DISC_FOLDER);
            return code;
        }
        code = errno;
        if (code != EINVAL) {
            return code; /* no matter of the file system */
        }
    }
    return code;
}

int DiscRelease(void)
{
    unlink(DISC_LETTER);
    return umount(DISC_FOLDER) == 0 || errno == EINVAL || errno == ENOENT ? 0 : errno;
}
