// What this CPU and operating system offer. Compiled for every AArch64 CPU.
#pragma once

namespace intbert::aarch64 {

bool has_neon();
bool has_dotprod();

}  // namespace intbert::aarch64
