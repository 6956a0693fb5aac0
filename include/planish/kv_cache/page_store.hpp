#pragma once
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/result.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI {

/// Owns the pages of one side (keys or values) of a cache.
class PageStore {
 public:
  PageStore() = default;

  /// `layout` names sizes, bits and clip, of options that `check` lets pass; its pointers are filled in.
  PLANISH_LAZY static Result<PageStore> make(index heads, const KvPages& layout) noexcept {
    const index code_pages = layout.bits == 16 ? 0 : heads * layout.pages_per_head;
    PageStore store;
    store.layout_ = layout;
    if (Status s = take(store.values_, heads * layout.float_pages_per_head, layout.float_page_size); !s.ok()) return s;
    if (Status s = take(store.codes_, code_pages, layout.code_page_size); !s.ok()) return s;
    if (Status s = take(store.scales_, code_pages, page_tokens); !s.ok()) return s;
    if (Status s = take(store.zero_points_, code_pages, page_tokens); !s.ok()) return s;
    return store;
  }

  PLANISH_LAZY [[nodiscard]] Result<PageStore> clone() const noexcept {
    PageStore copy;
    copy.layout_ = layout_;
    if (Status s = copy_to(copy.values_, values_); !s.ok()) return s;
    if (Status s = copy_to(copy.codes_, codes_); !s.ok()) return s;
    if (Status s = copy_to(copy.scales_, scales_); !s.ok()) return s;
    if (Status s = copy_to(copy.zero_points_, zero_points_); !s.ok()) return s;
    return copy;
  }

  /// The pages, readable by any kernel and writable by the owner of the cache.
  [[nodiscard]] KvPages pages() const noexcept {
    KvPages pages = layout_;
    pages.values = const_cast<float*>(values_.data());
    pages.codes = const_cast<std::uint8_t*>(codes_.data());
    pages.scales = const_cast<float*>(scales_.data());
    pages.zero_points = const_cast<std::uint8_t*>(zero_points_.data());
    return pages;
  }

  PLANISH_LAZY [[nodiscard]] std::size_t size_bytes() const noexcept {
    return values_.bytes().size() + codes_.bytes().size() + scales_.bytes().size() + zero_points_.bytes().size();
  }

 private:
  template <class T>
  static Status take(AlignedBuffer<T>& buffer, index pages, index page_size) noexcept {
    auto made = AlignedBuffer<T>::make(pages * page_size);
    if (made) buffer = std::move(*made);
    return made.status();
  }
  template <class T>
  static Status copy_to(AlignedBuffer<T>& to, const AlignedBuffer<T>& from) noexcept {
    auto made = from.clone();
    if (made) to = std::move(*made);
    return made.status();
  }

  KvPages layout_;
  AlignedBuffer<float> values_;
  AlignedBuffer<std::uint8_t> codes_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<std::uint8_t> zero_points_;
};

}  // namespace planish::inline PLANISH_ABI
