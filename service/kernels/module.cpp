// The Python module intbert._kernels: arrays in and out, nothing computed here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "dispatch.h"
#include "session.h"

namespace nb = nanobind;

namespace {

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Logits = nb::ndarray<nb::numpy, std::int32_t, nb::ndim<2>>;

intbert::Type type_of(const std::string& name, const nb::dlpack::dtype& type) {
    if (type == nb::dtype<std::int8_t>()) return intbert::Type::s8;
    if (type == nb::dtype<std::int16_t>()) return intbert::Type::s16;
    if (type == nb::dtype<std::int32_t>()) return intbert::Type::s32;
    throw std::invalid_argument("tensor " + name + " must be int8, int16 or int32");
}

intbert::Tensor tensor_of(const std::string& name, const Array& array) {
    intbert::Tensor tensor{type_of(name, array.dtype()), {}, array.data(), std::make_shared<Array>(array)};
    for (std::size_t d = 0; d < array.ndim(); ++d) tensor.shape.push_back(array.shape(d));
    return tensor;
}

// Takes the arrays out of the dict, so that each is freed as soon as it is packed, unless somebody else holds it.
std::shared_ptr<intbert::Model> make_model(nb::dict arrays, const std::string& kernels) {
    intbert::Tensors tensors;
    for (const auto& [key, value] : arrays) {
        std::string name;
        Array array;
        if (!nb::try_cast(key, name) || !nb::try_cast(value, array)) {
            throw nb::type_error("tensors must be a dict of contiguous arrays by name");
        }
        tensors.emplace(name, tensor_of(name, array));
    }
    arrays.clear();
    return std::make_shared<intbert::Model>(std::move(tensors), intbert::find_kernels(kernels));
}

Logits run(intbert::Session& session, const Ids& token_ids, const Ids& type_ids, const Ids& cumulative_lengths) {
    if (token_ids.size() != type_ids.size()) {
        throw std::invalid_argument(std::to_string(token_ids.size()) + " token ids but " +
                                    std::to_string(type_ids.size()) + " type ids");
    }
    const std::size_t sequences = cumulative_lengths.size() == 0 ? 0 : cumulative_lengths.size() - 1;
    intbert::Batch batch{token_ids.data(), type_ids.data(), cumulative_lengths.data(), token_ids.size(), sequences, 0};
    session.check(batch);
    const std::size_t rows = session.model().pooler ? batch.sequences : batch.tokens;
    const std::size_t outputs = session.model().outputs();
    auto* logits = new std::int32_t[rows * outputs];
    const nb::capsule owner(logits, [](void* memory) noexcept { delete[] static_cast<std::int32_t*>(memory); });
    {
        const nb::gil_scoped_release release;
        session.run(batch, logits);
    }
    return Logits(logits, {rows, outputs}, owner);
}

std::vector<std::string> names(const std::vector<const intbert::KernelSet*>& sets) {
    std::vector<std::string> result;
    for (const intbert::KernelSet* set : sets) result.emplace_back(set->name);
    return result;
}

}  // namespace

NB_MODULE(_kernels, module) {
    // A thread that still computes when the interpreter ends keeps its model, which is no leak worth a page of warnings
    nb::set_leak_warnings(false);

    module.def("available", [] { return names(intbert::available_kernels()); });
    module.def("known", [] { return names(intbert::known_kernels()); });

    nb::class_<intbert::Model>(module, "Model")
        .def(nb::new_(&make_model), nb::arg("tensors"), nb::arg("kernels"))
        .def_prop_ro("kernels", [](const intbert::Model& model) { return std::string(model.kernels().name); })
        .def_prop_ro("weights_bytes", &intbert::Model::weights_bytes)
        .def_prop_ro("outputs", &intbert::Model::outputs);

    nb::class_<intbert::Session>(module, "Session")
        .def(nb::init<std::shared_ptr<intbert::Model>, std::size_t>(), nb::arg("model"), nb::arg("threads"))
        .def("run", &run, nb::arg("token_ids").noconvert(), nb::arg("type_ids").noconvert(),
             nb::arg("cumulative_lengths").noconvert())
        .def_prop_ro("arena_bytes", &intbert::Session::arena_bytes);
}
