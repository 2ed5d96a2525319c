//! The `ringtail` program: hands the command line over to the library.
//!
//! The allocator is chosen here, and how it notes allocations for `/debug/pprof/heap`: able to
//! from the start, not doing so before the server asks it to.

use std::ffi::{CStr, c_char};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What the allocator reads before anything is allocated. Every 2 MiB (2^21) one allocation is
/// noted with its stack, once noting is active; counts since the start are kept. A sample in
/// 512 KiB was seen as 1.1% of the processor time of ingest.
const OPTIONS: &CStr = c"prof:true,prof_active:false,lg_prof_sample:21,prof_accum:true";

/// The name is the allocator's.
// SAFETY: nothing else has this name, and the type is the one the allocator declares it with.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: Option<&'static c_char> =
    // SAFETY: the pointer is of a text that lives as long as the program.
    Some(unsafe { &*OPTIONS.as_ptr() });

fn main() -> ExitCode {
    ringtail::cli::run()
}
