//! Paths to files and folders that a config names.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::decode::Decode;
use crate::node::Node;
use crate::schema::Schemas;

/// A path, relative to the folder of the config file that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath {
    written: Box<str>,
    path: PathBuf,
}

impl FilePath {
    /// The path as it stands in the config.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The path from where this process runs.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl<P: Into<PathBuf>> From<P> for FilePath {
    fn from(path: P) -> Self {
        let path = path.into();
        Self {
            written: path.to_string_lossy().into(),
            path,
        }
    }
}

impl Decode for FilePath {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let written = String::decode(node, cx)?;
        if written.is_empty() {
            cx.error(node.span, "this path is empty");
            return None;
        }
        let path = cx.sources().resolve(node.span, Path::new(&written));
        Some(Self {
            written: written.into(),
            path,
        })
    }

    fn to_json(&self) -> Json {
        json!(self.written)
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}
