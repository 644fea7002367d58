/* Texts of payloads. */
#pragma once

#include "kernel.h"

typedef enum HS_TEXT {
    HsBytes = 0, /* no text */
    HsWide = 1,  /* UTF-16 */
    HsAnsi = 2,  /* Windows-1252 */
    HsUtf8 = 3,
} HS_TEXT;

/* Write a text as UTF-8 and return how many bytes that is; with NULL for `to`, only count them. */
uint64_t hs_text(HS_TEXT kind, const uint8_t *text, uint64_t bytes, uint8_t *to);

/* Where the first NUL of 1 or 2 bytes is, in whole units; `bytes` when there is none. */
uint64_t hs_until_nul(const uint8_t *text, uint64_t bytes, unsigned width);
