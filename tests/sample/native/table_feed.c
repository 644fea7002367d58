/*
 * Drives the verifier's table natively, one command on a line of standard input, images by number, keys and kinds in hex:
 *   take IMAGE KIND KEY BYTES    give IMAGE KINDS KEY    left IMAGE KINDS (and forget)
 * Prints for take whether it found room, for left "KIND:KEY:COUNT:BYTES" sorted by nothing, and at the end each image's status.
 */
#include <stdio.h>

#include "verifier.h"

VERIFIER_IMAGE VerifierImages[VERIFIER_IMAGES];

VOID VerifierIncomplete(VERIFIER_IMAGE *Image, NTSTATUS Status)
{
    Image->Status = Status;
}

static void Left(unsigned Image, unsigned Kinds)
{
    VERIFIER_ENTRY *entry = VerifierTakeOut(&VerifierImages[Image], Kinds);

    while (entry != NULL) {
        VERIFIER_ENTRY *next = entry->Next;

        printf("%x:%llx:%u:%zu ", entry->Kind, (unsigned long long)(ULONG_PTR)entry->Key, entry->Count, entry->Bytes);
        VerifierPutAway(entry);
        entry = next;
    }
    printf("\n");
}

int main(void)
{
    char verb[8];
    unsigned image;
    unsigned kinds;
    unsigned long long key;
    size_t bytes;

    while (scanf("%7s %u %x", verb, &image, &kinds) == 3 && image < VERIFIER_IMAGES) {
        if (verb[0] == 'l') {
            Left(image, kinds);
        } else if (scanf("%llx", &key) != 1) {
            return 2;
        } else if (verb[0] == 'g') {
            VerifierGive(&VerifierImages[image], kinds, (PVOID)(ULONG_PTR)key);
        } else if (scanf("%zu", &bytes) == 1) {
            printf("%d\n", VerifierTake(&VerifierImages[image], kinds, (PVOID)(ULONG_PTR)key, bytes));
        }
    }
    for (image = 0; image < VERIFIER_IMAGES; image++) {
        printf("%x ", (unsigned)VerifierImages[image].Status);
    }
    printf("\n");
    return 0;
}
