#include "COpenSSL.h"

// OpenSSL is not torn down when the process exits: exit(3) does not wait for other threads, and one of them may be in a handshake or
// a download, whose locks and tables OPENSSL_cleanup(3) would free. The system takes the memory back as it is.
//
// Only the process's first call of OpenSSL can say so (OPENSSL_init_crypto(3)), whoever makes it, hence before main.
__attribute__((constructor)) static void keep_until_the_end(void) { OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL); }
