#define _GNU_SOURCE
#include "modules.h"

#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void ModulesLoad(const char *folder)
{
    char path[PATH_MAX], name[256];
    snprintf(path, sizeof(path), "%s/order", folder);
    FILE *order = fopen(path, "re");
    if (order == NULL) {
        Say("%s: %s", path, strerror(errno));
        return;
    }
    while (fgets(name, sizeof(name), order) != NULL) {
        name[strcspn(name, "\n")] = 0;
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0 || (syscall(SYS_finit_module, file, "", 0) != 0 && errno != EEXIST && errno != ENODEV)) {
            Say("loading %s: %s", name, strerror(errno));
        }
        if (file >= 0) {
            close(file);
        }
    }
    fclose(order);
}
