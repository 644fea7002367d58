/* The disc in the machine's drive, and the drive of Windows that shows it. Both: 0, or an errno. */
#pragma once

/* Mount what lies in the drive, read only, and give it a letter. ENOMEDIUM: the drive has not seen it yet. */
int DiscMount(void);

/* Take the letter away and let go of the disc; nothing when there is none. */
int DiscRelease(void);
