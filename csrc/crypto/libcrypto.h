/* SPDX-License-Identifier: MIT
 *
 * The functions of OpenSSL 3's libcrypto that we use, found at run time. So the library builds without OpenSSL's
 * headers for any architecture, starts without loading libcrypto, and works where there is none as long as nobody asks
 * for a signature. Only documented functions, with the types of their manual pages.
 */
#ifndef PN_CRYPTO_LIBCRYPTO_H
#define PN_CRYPTO_LIBCRYPTO_H

#include <stddef.h>

typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct bignum_st BIGNUM;

/* result, name, arguments */
#define PN_LIBCRYPTO_FUNCTIONS(F)                                                                                  \
    F(EVP_PKEY *, d2i_PUBKEY, (EVP_PKEY * *key, const unsigned char **der, long size))                             \
    F(int, i2d_PUBKEY, (const EVP_PKEY *key, unsigned char **der))                                                 \
    F(void, EVP_PKEY_free, (EVP_PKEY * key))                                                                       \
    F(int, EVP_PKEY_is_a, (const EVP_PKEY *key, const char *name))                                                 \
    F(int, EVP_PKEY_get_bits, (const EVP_PKEY *key))                                                               \
    F(int, EVP_PKEY_get_bn_param, (const EVP_PKEY *key, const char *name, BIGNUM **number))                        \
    F(int, BN_num_bits, (const BIGNUM *number))                                                                    \
    F(int, BN_is_odd, (const BIGNUM *number))                                                                      \
    F(void, BN_free, (BIGNUM * number))                                                                            \
    F(EVP_MD_CTX *, EVP_MD_CTX_new, (void))                                                                        \
    F(void, EVP_MD_CTX_free, (EVP_MD_CTX * context))                                                               \
    F(int, EVP_DigestVerifyInit_ex,                                                                                \
      (EVP_MD_CTX * context, EVP_PKEY_CTX * *key_context, const char *hash, void *library, const char *properties, \
       EVP_PKEY *key, const void *parameters))                                                                     \
    F(int, EVP_DigestVerify,                                                                                       \
      (EVP_MD_CTX * context, const unsigned char *signature, size_t signature_size, const unsigned char *message,  \
       size_t message_size))                                                                                       \
    F(int, EVP_PKEY_CTX_set_rsa_padding, (EVP_PKEY_CTX * context, int padding))                                    \
    F(int, EVP_PKEY_CTX_set_rsa_pss_saltlen, (EVP_PKEY_CTX * context, int size))                                   \
    F(int, ERR_set_mark, (void))                                                                                   \
    F(int, ERR_pop_to_mark, (void))

#define PN_LIBCRYPTO_MEMBER(result, name, arguments) result(*name) arguments;
struct pn_libcrypto {
    PN_LIBCRYPTO_FUNCTIONS(PN_LIBCRYPTO_MEMBER)
};

/* The functions, looked for at the first call of the process; NULL where there is no OpenSSL 3. */
const struct pn_libcrypto *pn_libcrypto(void);

#endif
