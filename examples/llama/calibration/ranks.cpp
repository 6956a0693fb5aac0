#include "ranks.hpp"

#if defined(PLANISH_MPI)

#define MPICH_SKIP_MPICXX 1
#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

namespace llama {

JobShare ranks() {
  JobShare share;
  if (MPI_Init(nullptr, nullptr) != MPI_SUCCESS) return share;
  MPI_Comm_rank(MPI_COMM_WORLD, &share.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &share.size);
  MPI_Finalize();
  return share;
}

}  // namespace llama

#else

namespace llama {

JobShare ranks() { return {}; }

}  // namespace llama

#endif
