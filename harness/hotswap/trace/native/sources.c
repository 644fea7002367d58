/* Which sources this library was made of: the build says it. */
#include "kernel.h"

HS_EXPORT const char *hs_kernel_sources(void)
{
    return HS_KERNEL_SOURCES;
}
