#include "train/version.hpp"

namespace rmoe {

std::string build_information() {
  return "rmoe " RMOE_VERSION " (" RMOE_COMMIT ", g++ " __VERSION__ ", " RMOE_BUILD ")";
}

}  // namespace rmoe
