// native_bench peak THREADS                                         answers every line on standard input with GOP/s
// native_bench products CHANNELS HEADS INTERMEDIATE ROWS ROUNDS [KERNELS]
// native_bench profile CHANNELS HEADS INTERMEDIATE LAYERS BATCH TOKENS THREADS ROUNDS [KERNELS]
//
// Every answer is one line of JSON. The caller chooses the processors (taskset or sched_setaffinity).
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "commands.h"
#include "dispatch.h"
#include "peak.h"

namespace {

using namespace intbert;

std::size_t number(const std::string& text) {
    const auto value = std::strtoul(text.c_str(), nullptr, 10);
    if (value == 0) throw std::invalid_argument("'" + text + "' is not a positive number");
    return value;
}

const KernelSet& kernels_of(const std::vector<std::string>& arguments, std::size_t at) {
    return arguments.size() > at ? find_kernels(arguments[at]) : *available_kernels().front();
}

void serve_peak(std::size_t threads) {
    const bench::Burst burst = bench::peak_burst();
    std::printf("{\"ready\": %s}\n", burst != nullptr ? "true" : "false");
    std::fflush(stdout);
    for (std::string line; burst != nullptr && std::getline(std::cin, line);) {
        std::printf("{\"gops\": %.2f}\n", bench::peak_gops(burst, threads));
        std::fflush(stdout);
    }
}

void run(const std::vector<std::string>& arguments) {
    const std::string command = arguments.empty() ? "" : arguments[0];
    const auto argument = [&](std::size_t i) { return number(arguments.at(i)); };
    if (command == "peak") {
        serve_peak(argument(1));
    } else if (command == "products") {
        const bench::Size size{argument(1), argument(2), argument(3), 1};
        bench::measure_products(size, kernels_of(arguments, 6), argument(4), static_cast<int>(argument(5)));
    } else if (command == "profile") {
        const bench::Size size{argument(1), argument(2), argument(3), argument(4)};
        bench::profile(size, kernels_of(arguments, 9), argument(5), argument(6), argument(7),
                       static_cast<int>(argument(8)));
    } else {
        throw std::invalid_argument("the command must be peak, products or profile");
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "native_bench: %s\n", error.what());
        return 1;
    }
    return 0;
}
