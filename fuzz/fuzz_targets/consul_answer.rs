//! An answer of Consul: no panic, entries within bounds, reasons fit for a log.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::discovery::consul_answer;

fuzz_target!(|input: &[u8]| consul_answer(input));
