// libsasl2, with its varargs and callback casts made callable from Swift.
#ifndef POSTERN_CSASL_H
#define POSTERN_CSASL_H

#include <stddef.h>
#include <sasl/sasl.h>
#include <sasl/saslutil.h>

#endif
