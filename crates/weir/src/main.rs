//! The `weir` binary. Everything is in the library, where tests and tools reach it.

use std::process::ExitCode;

/// Requests allocate little, but log lines, config and control do; measured against the system's allocator under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    weir::main(std::env::args_os())
}
