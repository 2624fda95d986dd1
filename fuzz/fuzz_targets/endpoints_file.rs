//! A file of endpoints: no panic, entries within bounds, reasons fit for a log.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::discovery::endpoints_file;

fuzz_target!(|input: &[u8]| endpoints_file(input));
