//! SRV records: no panic, entries within bounds, and the same whatever their order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::discovery::srv_records;

fuzz_target!(|input: &[u8]| srv_records(input));
