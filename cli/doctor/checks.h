// The parts of `berth doctor`. Each reads what is there, changes nothing, and adds what it saw to the findings.
//
// What is read from the machine and what is thought of it are apart, so that tests can stage a machine.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/data_formats.h"
#include "cli/doctor/findings.h"
#include "cli/outside_services.h"
#include "config/settings.h"

namespace berth::cli {

struct MachineFacts {
  std::string kernel;  ///< "6.1.0-41-amd64"
  std::uint64_t open_files_max = 0;
  std::string open_files_of;  ///< whose limit that is
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_limit_bytes = 0;  ///< of the control group; 0: none
  bool clock_synchronized = true;
  std::chrono::system_clock::time_point now;
};
/// `running`: the process whose limits count; 0: this one's.
MachineFacts read_machine(pid_t running);
void judge_machine(const MachineFacts& facts, const config::Settings& settings, Findings& findings);
/// The part of it that a machine of clients needs as well.
void judge_clock(const MachineFacts& facts, Findings& findings);

/// What lies where the data directory is, or, before the first start, where its parent is.
struct DiskFacts {
  std::string path;
  std::uint64_t kind = 0;  ///< f_type of statfs
  bool read_only = false;
  std::uint64_t size_bytes = 0, free_bytes = 0;
  std::uint64_t inodes = 0, free_inodes = 0;  ///< both 0 where they are not counted
  std::optional<std::chrono::microseconds> sync;  ///< the median of some writes of 4 KiB, each synced
};
DiskFacts read_disk(const std::string& path);
void judge_disk(const DiskFacts& facts, const config::Settings& settings, Findings& findings);

struct DataFacts {
  bool usable = false;  ///< it is there, or can be made
  bool indexed = false; ///< it has an index
  bool held = false;    ///< a berth has it open
  pid_t running = 0;    ///< which process; 0: none, or one that cannot be seen from here
};
/// Owner, mode, contents and lock of the data directory.
DataFacts check_data(const config::Settings& settings, Findings& findings);

/// Can this berth open what is there? `held`: a berth has it open.
void judge_format(const Result<DataFormats>& formats, bool held, Findings& findings);

/// What the settings allow and had better not.
void check_settings(const config::Settings& settings, Findings& findings);

/// What berth asks beside itself, as it answered.
void judge_outside(const std::vector<OutsideService>& services, Findings& findings);

/// The certificates of all listeners, and the authorities of their clients. `ca_file`: PEM, trusted beside the system's
/// roots; may be empty.
void check_certificates(const config::Settings& settings, const std::string& ca_file,
                        std::chrono::system_clock::time_point now, Findings& findings);

struct ViewOptions {
  std::string url;      ///< what clients call the registry; empty: public_url
  std::string ca_file;  ///< PEM; empty: the system's roots
  std::chrono::milliseconds timeout = std::chrono::seconds(5);
  bool running = true;  ///< a berth has the data directory
};
/// Each listener and the address that clients use, asked as clients ask.
void check_clients_view(const config::Settings& settings, const ViewOptions& options, Findings& findings);

}  // namespace berth::cli
