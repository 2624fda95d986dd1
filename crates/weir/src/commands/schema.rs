//! `weir schema`

use crate::cli::Schema;
use crate::config;
use crate::terminal::Output;

pub(super) fn run(_: &Schema) -> Output {
    Output::fine(format!("{:#}\n", config::schema()))
}
