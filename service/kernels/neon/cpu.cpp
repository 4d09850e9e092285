#include "cpu.h"

#include <asm/hwcap.h>
#include <sys/auxv.h>

namespace intbert::aarch64 {

bool has_neon() { return (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0; }
bool has_dotprod() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }

}  // namespace intbert::aarch64
