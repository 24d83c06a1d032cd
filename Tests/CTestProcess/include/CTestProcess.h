// What the tests need of C. The target has a constructor as well.
#pragma once

#include <sys/types.h>

// fork(2), which Swift does not import: in the child there is this thread alone.
pid_t test_fork(void);
