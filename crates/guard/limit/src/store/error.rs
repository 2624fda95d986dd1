//! Why there is no answer.

use std::fmt;

/// Why a shared limit could not be asked; what happens then says `on_store_error`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The server failed lately and is not asked; nobody waited.
    #[error("the store is not asked, for it failed")]
    Open,
    /// No answer came in time.
    #[error("the store did not answer in time")]
    Late,
    /// As many questions as may be are under way; nobody waited.
    #[error("too many questions to the store are under way")]
    Full,
    /// The connection broke while the question was under way, or there is none.
    #[error("the connection to the store is lost")]
    Lost,
    /// The Cluster keeps the key on a server that is not known yet.
    #[error("the store keeps this key on a server that is not known yet")]
    Moved,
    /// It answered with an error.
    #[error("the store refused: {0}")]
    Refused(String),
}

impl StoreError {
    /// A word for metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Late => "late",
            Self::Full => "full",
            Self::Lost => "lost",
            Self::Moved => "moved",
            Self::Refused(_) => "refused",
        }
    }
}

/// A reason as people may read it: servers put into errors what they like.
pub(crate) fn tidy(why: &dyn fmt::Display) -> String {
    const LONGEST: usize = 240;
    let why = why.to_string();
    let mut tidy: String = why
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if tidy.len() < why.len() {
        tidy.push_str(" ...");
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_short_and_plain() {
        assert_eq!(tidy(&"ERR no\x1b[2J\r\n"), "ERR no [2J  ");
        let long = tidy(&"\u{e9}".repeat(1000));
        assert_eq!(long.chars().count(), 244);
        assert!(long.ends_with("\u{e9} ..."));
    }
}
