//! Files of a folder.

use weir_config::{FilePath, Spanned, Text, choice, object};

object! {
    /// Files of a folder. In short form, the folder.
    pub struct FilesConfig {
        /// The folder, relative to the config file. Nothing outside of it is ever served.
        pub root: Spanned<FilePath>,
        /// What is served for a folder.
        pub index: FileName = FileName("index.html".into()),
        /// Codings of compressed siblings (`app.js.br`) to serve to clients that take them, best first.
        pub precompressed: Vec<Precompressed> = Vec::new(),
    }
    short root;
}

choice! {
    /// A coding of compressed siblings.
    pub enum Precompressed {
        /// Brotli, `.br`.
        Brotli = "br",
        /// Zstandard, `.zst`.
        Zstd = "zstd",
        /// Gzip, `.gz`.
        Gzip = "gzip",
    }
}

/// The name of a file, without a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(Box<str>);

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for FileName {
    const EXPECTED: &'static str = "the name of a file, such as `index.html`";

    fn from_text(text: &str) -> Result<Self, String> {
        if matches!(text, "" | "." | "..") || text.contains(['/', '\0']) {
            return Err("a name only, without a folder".to_owned());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[^/]+$")
    }
}

weir_config::text!(FileName);
