// libsasl2, with its callback casts made callable from Swift: a sasl_callback_t holds every callback as int (*)(void).
#ifndef POSTERN_CSASL_H
#define POSTERN_CSASL_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sasl/sasl.h>
#include <sasl/saslutil.h>

static inline sasl_callback_t postern_sasl_log_callback(sasl_log_t *proc, void *context) {
    return (sasl_callback_t){SASL_CB_LOG, (int (*)(void))proc, context};
}

static inline sasl_callback_t postern_sasl_getopt_callback(sasl_getopt_t *proc, void *context) {
    return (sasl_callback_t){SASL_CB_GETOPT, (int (*)(void))proc, context};
}

static inline sasl_callback_t postern_sasl_getconfpath_callback(sasl_getconfpath_t *proc, void *context) {
    return (sasl_callback_t){SASL_CB_GETCONFPATH, (int (*)(void))proc, context};
}

static inline sasl_callback_t postern_sasl_getsimple_callback(unsigned long id, sasl_getsimple_t *proc, void *context) {
    return (sasl_callback_t){id, (int (*)(void))proc, context};
}

static inline sasl_callback_t postern_sasl_getsecret_callback(sasl_getsecret_t *proc, void *context) {
    return (sasl_callback_t){SASL_CB_PASS, (int (*)(void))proc, context};
}

static inline sasl_callback_t postern_sasl_getrealm_callback(sasl_getrealm_t *proc, void *context) {
    return (sasl_callback_t){SASL_CB_GETREALM, (int (*)(void))proc, context};
}

static inline sasl_callback_t postern_sasl_callback_end(void) {
    return (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
}

// explicit_bzero is hidden without _DEFAULT_SOURCE; the volatile pointer keeps the compiler from dropping the store.
static inline void postern_wipe(void *bytes, size_t length) {
    volatile unsigned char *p = (volatile unsigned char *)bytes;
    while (length--) *p++ = 0;
}

// sasl_secret_t ends with its bytes. The caller wipes and frees it with the function below.
static inline sasl_secret_t *postern_sasl_secret(const void *bytes, size_t length) {
    sasl_secret_t *secret = (sasl_secret_t *)malloc(sizeof(sasl_secret_t) + length);
    if (!secret) return NULL;
    secret->len = length;
    memcpy(secret->data, bytes, length);
    secret->data[length] = 0;
    return secret;
}

static inline void postern_sasl_secret_free(sasl_secret_t *secret) {
    if (!secret) return;
    postern_wipe(secret->data, secret->len);
    free(secret);
}

#endif
