//! Why there is no answer.

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
            Self::Refused(_) => "refused",
        }
    }
}
