// OpenSSL's macros, as functions Swift can call.
#ifndef POSTERN_COPENSSL_H
#define POSTERN_COPENSSL_H

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/dh.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// Options: macros with arguments in OpenSSL 3, so Swift cannot see them.

static const uint64_t postern_op_all = SSL_OP_ALL;
static const uint64_t postern_op_cipher_server_preference = SSL_OP_CIPHER_SERVER_PREFERENCE;
static const uint64_t postern_op_cryptopro_tlsext_bug = SSL_OP_CRYPTOPRO_TLSEXT_BUG;
static const uint64_t postern_op_dont_insert_empty_fragments = SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS;
static const uint64_t postern_op_enable_middlebox_compat = SSL_OP_ENABLE_MIDDLEBOX_COMPAT;
static const uint64_t postern_op_legacy_server_connect = SSL_OP_LEGACY_SERVER_CONNECT;
static const uint64_t postern_op_no_compression = SSL_OP_NO_COMPRESSION;
static const uint64_t postern_op_no_renegotiation = SSL_OP_NO_RENEGOTIATION;
static const uint64_t postern_op_no_session_resumption_on_renegotiation = SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION;
static const uint64_t postern_op_no_protocols = SSL_OP_NO_SSL_MASK;
static const uint64_t postern_op_no_sslv3 = SSL_OP_NO_SSLv3;
static const uint64_t postern_op_no_ticket = SSL_OP_NO_TICKET;
static const uint64_t postern_op_no_tlsv1 = SSL_OP_NO_TLSv1;
static const uint64_t postern_op_no_tlsv1_1 = SSL_OP_NO_TLSv1_1;
static const uint64_t postern_op_no_tlsv1_2 = SSL_OP_NO_TLSv1_2;
static const uint64_t postern_op_no_tlsv1_3 = SSL_OP_NO_TLSv1_3;
static const uint64_t postern_op_prioritize_chacha = SSL_OP_PRIORITIZE_CHACHA;
static const uint64_t postern_op_safari_ecdhe_ecdsa_bug = SSL_OP_SAFARI_ECDHE_ECDSA_BUG;
static const uint64_t postern_op_tls_rollback_bug = SSL_OP_TLS_ROLLBACK_BUG;
static const uint64_t postern_op_tlsext_padding = SSL_OP_TLSEXT_PADDING;

// BIO

static inline void postern_BIO_clear_retry_flags(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline void postern_BIO_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }

// SSL_CTX

static inline void postern_SSL_CTX_set_mode(SSL_CTX *ctx, long mode) { SSL_CTX_set_mode(ctx, mode); }
static inline int postern_SSL_CTX_set_min_proto_version(SSL_CTX *ctx, int version) { return SSL_CTX_set_min_proto_version(ctx, version); }
static inline int postern_SSL_CTX_set_max_proto_version(SSL_CTX *ctx, int version) { return SSL_CTX_set_max_proto_version(ctx, version); }
static inline int postern_SSL_CTX_set1_groups(SSL_CTX *ctx, int *nids, int count) { return SSL_CTX_set1_groups(ctx, nids, count); }
static inline void postern_SSL_CTX_set_session_cache_mode(SSL_CTX *ctx, long mode) { SSL_CTX_set_session_cache_mode(ctx, mode); }
static inline void postern_SSL_CTX_set_dh_auto(SSL_CTX *ctx, int on) { SSL_CTX_set_dh_auto(ctx, on); }
static inline int postern_SSL_CTX_add0_chain_cert(SSL_CTX *ctx, X509 *x509) { return (int)SSL_CTX_add0_chain_cert(ctx, x509); }

// The handshake goes on whatever the peer's certificate is worth: the session judges it afterwards, as in Postfix.
static inline int postern_verify_and_go_on(int ok, X509_STORE_CTX *store) { (void)ok; (void)store; return 1; }
static inline void postern_SSL_CTX_ask_peer_certificate(SSL_CTX *ctx) {
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, postern_verify_and_go_on);
}

// Never ask for a passphrase on a terminal.
static inline int postern_no_passphrase(char *buffer, int size, int writing, void *data) {
    (void)buffer; (void)size; (void)writing; (void)data;
    return -1;
}
static inline EVP_PKEY *postern_read_parameters(BIO *bio) { return PEM_read_bio_Parameters(bio, NULL); }
static inline EVP_PKEY *postern_read_private_key(BIO *bio) { return PEM_read_bio_PrivateKey(bio, NULL, postern_no_passphrase, NULL); }
static inline X509 *postern_read_certificate(BIO *bio) { return PEM_read_bio_X509_AUX(bio, NULL, postern_no_passphrase, NULL); }

// The default trust, loaded at once instead of at first use.
static inline const char *postern_default_ca_file(void) { return X509_get_default_cert_file(); }
static inline const char *postern_default_ca_directory(void) { return X509_get_default_cert_dir(); }

// Session tickets: AES-256-CBC and HMAC-SHA-256 with a key of 80 bytes (name, cipher key, MAC key).
static inline int postern_ticket_init(const uint8_t *key, const uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing) {
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(key + 48), 32),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_MAC_CTX_set_params(mac, params) != 1) return 0;
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key + 16, iv, sealing);
}

// SSL

static inline int postern_SSL_set_tlsext_host_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }
static inline EVP_PKEY *postern_SSL_get1_peer_tmp_key(SSL *ssl) {
    EVP_PKEY *key = NULL;
    return SSL_get_peer_tmp_key(ssl, &key) ? key : NULL;
}
static inline int postern_SSL_get_signature_nid(SSL *ssl) { int nid = NID_undef; return SSL_get_signature_nid(ssl, &nid) ? nid : NID_undef; }
static inline int postern_SSL_get_peer_signature_nid(SSL *ssl) { int nid = NID_undef; return SSL_get_peer_signature_nid(ssl, &nid) ? nid : NID_undef; }

// Certificates

static inline int postern_names_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
// 1 and the text of a DNS name, 2 and the bytes of an IP address, 0 for what else there is.
static inline int postern_name_at(const GENERAL_NAMES *names, int index, const unsigned char **bytes, int *length) {
    int type = 0;
    const void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, index), &type);
    if (type != GEN_DNS && type != GEN_IPADD) return 0;
    *bytes = ASN1_STRING_get0_data((const ASN1_STRING *)value);
    *length = ASN1_STRING_length((const ASN1_STRING *)value);
    return type == GEN_DNS ? 1 : 2;
}
static inline void postern_names_free(GENERAL_NAMES *names) { GENERAL_NAMES_free(names); }
static inline GENERAL_NAMES *postern_subject_alt_names(const X509 *x509) {
    return (GENERAL_NAMES *)X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
}
// RFC 2253 text of a name, UTF-8 left as it is.
static inline int postern_print_name(BIO *bio, const X509_NAME *name) {
    return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
}
// Seconds since 1970; 0 if the certificate's time cannot be read.
static inline long long postern_time(const ASN1_TIME *time) {
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (long long)timegm(&tm) : 0;
}
static inline EVP_PKEY *postern_generate_ec_p256(void) { return EVP_EC_gen("P-256"); }
static inline int postern_add_extension(X509 *x509, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x509, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (!extension) return 0;
    int added = X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
    return added;
}
static inline long postern_BIO_get_mem_data(BIO *bio, char **data) { return BIO_get_mem_data(bio, data); }

// The thread's oldest library error, in the form Postfix logs; 0 when there is none.
static inline int postern_next_error(char *text, size_t size, unsigned long *code) {
    const char *file = NULL, *data = NULL;
    int line = 0, flags = 0;
    *code = ERR_get_error_all(&file, &line, NULL, &data, &flags);
    if (*code == 0) return 0;
    char message[256];
    ERR_error_string_n(*code, message, sizeof message);
    snprintf(text, size, "%s:%s:%d:%s%s", message, file ? file : "", line, (flags & ERR_TXT_STRING) ? data : "",
             (flags & ERR_TXT_STRING) ? ":" : "");
    return 1;
}
static inline int postern_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int postern_error_library(unsigned long code) { return ERR_GET_LIB(code); }

#endif
