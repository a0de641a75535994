// ICU's names carry its version and are macros, which Swift does not see.
#ifndef POSTERN_CICU_H
#define POSTERN_CICU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unicode/uidna.h>

// UTS #46 processing without further checks; NULL when the library has not its data. What is returned is never changed again, and may be used by
// any thread.
static inline const UIDNA *postern_idna_open(bool transitional) {
    UErrorCode status = U_ZERO_ERROR;
    uint32_t options = transitional ? UIDNA_DEFAULT : UIDNA_NONTRANSITIONAL_TO_ASCII | UIDNA_NONTRANSITIONAL_TO_UNICODE;
    UIDNA *idna = uidna_openUTS46(options, &status);
    return U_SUCCESS(status) ? idna : NULL;
}

// Writes the ASCII form of `name` (UTF-8) and returns its length; -1 when it is longer than `capacity`, or the library fails. `problems` gets the
// UIDNA_ERROR bits.
static inline int32_t postern_idna_ascii(
    const UIDNA *idna, const char *name, int32_t length, char *ascii, int32_t capacity, uint32_t *problems
) {
    UErrorCode status = U_ZERO_ERROR;
    UIDNAInfo info = UIDNA_INFO_INITIALIZER;
    int32_t written = uidna_nameToASCII_UTF8(idna, name, length, ascii, capacity, &info, &status);
    *problems = info.errors;
    return U_SUCCESS(status) && written >= 0 && written <= capacity ? written : -1;
}

#endif
