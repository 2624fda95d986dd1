//! Where the config is, when nobody says.

use std::path::{Path, PathBuf};

use crate::cli::ConfigPath;

const DEFAULTS: [&str; 3] = ["weir.yaml", "weir.yml", "weir.json"];

/// The config to use, or why there is none.
pub(super) fn config(given: &ConfigPath) -> Result<PathBuf, String> {
    let here = || {
        DEFAULTS
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
    };
    let [others @ .., last] = &DEFAULTS;
    given.path.clone().or_else(here).ok_or_else(|| {
        format!(
            "there is no {} or {last} in this folder\n  write one (`weir --help` shows the shortest), name it with -c, or try `weir up`",
            others.join(", ")
        )
    })
}

/// As people would type it.
pub(super) fn name(path: &Path) -> String {
    path.display().to_string()
}
