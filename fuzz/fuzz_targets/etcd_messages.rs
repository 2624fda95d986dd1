//! Messages of etcd: no panic, entries within bounds, reasons fit for a log, and base64 there and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::discovery::etcd_messages;

fuzz_target!(|input: &[u8]| etcd_messages(input));
