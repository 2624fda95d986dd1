//! The parsers under test, and what the targets share.
//!
//! They are compiled from their sources, not through the crates they are in: each stands on its own (but for the reader of
//! config files), and a build with sanitizers takes seconds instead of the minutes that the rest of the data plane would need.

use std::fmt::Write;

#[path = "../../crates/edge/http/src/codec/mod.rs"]
pub mod codec;

#[path = "../../crates/base/net/src/proxy_protocol/mod.rs"]
pub mod proxy_protocol;

pub mod discovery;

/// What the modules under test know of DNS.
pub mod dns {
    /// An SRV record, as a resolver tells it.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Srv {
        /// The lowest comes first.
        pub priority: u16,
        /// The share among those of one priority.
        pub weight: u16,
        /// The host.
        pub target: String,
        /// The port.
        pub port: u16,
    }
}

use codec::{Fields, HeadLimits};

/// Small, so that limits are met often.
pub const LIMITS: HeadLimits = HeadLimits {
    max_head: 1024,
    max_fields: 24,
    max_target: 128,
    max_field: 512,
};

/// Ways to hand over `len` bytes in pieces, as the end of each piece but the last: byte by byte, and in two at up to
/// 32 places.
pub fn splits(len: usize) -> impl Iterator<Item = Vec<usize>> {
    let step = len.div_ceil(32).max(1);
    std::iter::once((0..len).collect()).chain((0..len).step_by(step).map(|cut| vec![cut]))
}

/// All that there is to know about `fields`.
pub fn fields(fields: &Fields) -> String {
    let mut out = String::new();
    for (field, name, value) in fields.iter() {
        let (name, value) = (name.escape_ascii(), value.escape_ascii());
        let _ = writeln!(
            out,
            "{:?} {} {} {name}: {value}",
            field.id(),
            field.hop(),
            field.canonical()
        );
    }
    out
}

/// Names and values that are forwarded, but those that `skip` wants left out.
pub fn forwarded(fields: &Fields, skip: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let kept = fields
        .iter()
        .filter(|(field, name, _)| !field.hop() && !name.eq_ignore_ascii_case(skip));
    kept.map(|(_, name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}
