// Interleaved timing: every candidate runs once a round, so that a change of clock or a neighbour hits all alike.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

struct Candidate {
    std::string name;
    double work;  // operations or elements of one call
    std::function<void()> call;
    std::vector<double> ns{};  // one entry a round
};

inline double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

inline void measure(std::vector<Candidate>& candidates, int rounds) {
    for (int round = 0; round < rounds; ++round) {
        for (Candidate& candidate : candidates) {
            candidate.call();  // caches as in the steady state
            const auto start = std::chrono::steady_clock::now();
            candidate.call();
            const auto end = std::chrono::steady_clock::now();
            candidate.ns.push_back(std::chrono::duration<double, std::nano>(end - start).count());
        }
    }
}

std::vector<Candidate> matrix_candidates();       // matrix.cpp
std::vector<Candidate> elementwise_candidates();  // elementwise.cpp
