#pragma once
#include <algorithm>
#include <span>
#include <type_traits>

#include <planish/linear/linear_on.hpp>

namespace planish::inline PLANISH_ABI {

/// One consumer of a site: y = in · Wᵀ + b (+ residual, which may be y itself), as LinearOn::multiply takes them.
template <class B>
struct SiteProduct {
  const LinearOn<B>* linear;
  const QuantizedInput* in;
  MatrixView<float> y;
  MatrixView<const float> residual = {};
};

/// Bytes that multiply_together needs. Products: an array, a vector, a list or a span of SiteProduct.
template <class Products>
[[nodiscard]] std::size_t together_workspace_size(const Products& products, index rows, int workers = 1) noexcept {
  std::size_t bytes = 0;
  for (const auto& product : products) bytes = std::max(bytes, product.linear->workspace_size(rows, workers));
  return bytes;
}

/// All consumers of a site in one fork-join: the same bits as one product after the other. The inputs have the same
/// rows; outputs lie apart. Errors that make nothing: what LinearOn::multiply refuses, inputs of different rows,
/// outputs that overlap. Allocates nothing.
template <class B>
Status multiply_together(std::span<const SiteProduct<B>> products, Workspace workspace,
                         ExecutorReference executor) noexcept {
  if (products.empty()) return {};
  const index rows = products.front().in->rows(), columns = products.front().linear->columns();
  const int workers = executor.workers();
  index panels = 0;
  std::size_t each = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    const SiteProduct<B>& product = products[i];
    if (const Status status = product.linear->check(*product.in, product.y, product.residual); !status) return status;
    if (product.in->rows() != rows)
      return Status(ErrorCode::shape_mismatch, "inputs of ", rows, " and of ", product.in->rows(),
                    " rows cannot be multiplied together");
    for (std::size_t j = 0; j < i; ++j)
      if (may_overlap(products[j].y, product.y))
        return Status(ErrorCode::invalid_argument, "outputs ", j, " and ", i, " of a site overlap");
    panels += panel_count(product.linear->rows());
    each = std::max(each, product.linear->scratch_bytes(rows));
  }
  if (rows == 0 || panels == 0) return {};
  const auto scratch = workspace.take<std::byte>(static_cast<index>(each) * workers);
  if (scratch.size() < each * static_cast<std::size_t>(workers))
    return Status(ErrorCode::invalid_argument, "the products of a site need a workspace of ",
                  each * static_cast<std::size_t>(workers), " bytes for ", rows, " rows and ", workers, " workers");

  const detail::ProductSplit split = detail::split_product(rows, panels, columns, workers);
  executor.run(static_cast<int>(split.tasks()), [&](int task, int worker) noexcept {
    const Range row_range = part_of(rows, task % split.row_parts, split.row_parts);
    const Range wanted = part_of(panels, task / split.row_parts, split.panel_parts);  // of all matrices, end to end
    index first = 0;
    for (const SiteProduct<B>& product : products) {
      const index count = panel_count(product.linear->rows());
      const Range own{std::max<index>(wanted.begin - first, 0), std::min(wanted.end - first, count)};
      if (own.begin < own.end)
        product.linear->multiply_part(*product.in, product.y, product.residual, row_range, own,
                                      scratch.subspan(static_cast<std::size_t>(worker) * each, each));
      first += count;
    }
  });
  return {};
}

/// The same for an array, a vector or a list of products.
template <class Products>
requires requires(const Products& products) { std::data(products)->linear; }
Status multiply_together(const Products& products, Workspace workspace, ExecutorReference executor = {}) noexcept {
  using Product = std::remove_cvref_t<decltype(*std::data(products))>;
  return multiply_together(std::span<const Product>(std::data(products), std::size(products)), workspace, executor);
}

}  // namespace planish::inline PLANISH_ABI
