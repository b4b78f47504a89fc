// What only the start needed.
#pragma once

namespace berth::server {

/// Gives memory back that was used to read settings, open the store and recover: free parts of the heap, and pages of
/// code and constants, which the kernel maps in again from the file if somebody comes by (a microsecond for 64 KiB).
/// Blocks for one to three milliseconds. Call it once, when all is up and has said so.
void give_back_start_memory();

}  // namespace berth::server
