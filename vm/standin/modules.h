/* The kernel's modules: those that lie in one folder, in the order that its file `order` gives. */
#pragma once

/* Load them all; what the kernel knows already, or has no device for, is no trouble. Says what failed. */
void ModulesLoad(const char *folder);
