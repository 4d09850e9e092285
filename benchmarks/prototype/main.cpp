#include <cstdio>

#include "timing.h"

int main() {
    constexpr int rounds = 201;
    auto matrix = matrix_candidates();
    measure(matrix, rounds);
    const double peak = matrix[0].work / median(matrix[0].ns);
    std::printf("%-44s %10s %10s %8s\n", "matrix product, 128 rows", "GOP/s", "best", "of peak");
    for (const Candidate& c : matrix) {
        const double rate = c.work / median(c.ns);
        const double best = c.work / *std::min_element(c.ns.begin(), c.ns.end());
        std::printf("%-44s %10.1f %10.1f %7.1f%%\n", c.name.c_str(), rate, best, 100.0 * rate / peak);
    }
    auto elementwise = elementwise_candidates();
    measure(elementwise, rounds);
    std::printf("\n%-44s %12s %12s\n", "element-wise", "ns/element", "best");
    for (const Candidate& c : elementwise) {
        const double best = *std::min_element(c.ns.begin(), c.ns.end()) / c.work;
        std::printf("%-44s %12.4f %12.4f\n", c.name.c_str(), median(c.ns) / c.work, best);
    }
    return 0;
}
