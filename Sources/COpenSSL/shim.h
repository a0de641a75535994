// OpenSSL's macros, as functions Swift can call.
#ifndef POSTERN_COPENSSL_H
#define POSTERN_COPENSSL_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#endif
