//! A files route, compiled: the root is open, the names are checked.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    answer::FilesAnswer,
    decide,
    encoding::{Accepted, Encoding},
    live_root::LiveRoot,
    lookup::{Found, Lookup, Miss},
    path::DiskPath,
    refusal::Refusal,
    request::{FilesMethod, FilesRequest},
    root::Wait,
};

/// What a files route is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesSpec {
    /// The directory; nothing outside of it is ever sent.
    pub root: PathBuf,
    /// The file that stands for a directory, like `index.html`. Without one, directories are forbidden.
    pub index: Option<String>,
    /// Which siblings to look for, best first: `app.js.br` beside `app.js`. A client's own preference goes first.
    pub precompressed: Vec<Encoding>,
    /// Serve files and directories whose names begin with a dot. `.well-known` right below the root (RFC 8615) is
    /// always served.
    pub dotfiles: bool,
}

/// Why a files route cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The root cannot be opened.
    #[error("cannot open the directory {}: {source}", path.display())]
    Root {
        /// The root.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The root is something else.
    #[error("{} is not a directory", path.display())]
    NotDirectory {
        /// The root.
        path: PathBuf,
    },
    /// The index is no plain file name.
    #[error("the index must be the name of a file, without a path: `{index}`")]
    Index {
        /// The index.
        index: String,
    },
}

/// A files route as workers use it; clones share it.
#[derive(Clone, Debug)]
pub struct FilesPlan {
    lookup: Arc<Lookup>,
}

impl FilesPlan {
    /// Opens the root. When its path later leads to another directory, requests follow within a second or so.
    ///
    /// # Errors
    ///
    /// The root is missing, unreadable or no directory, or the index is not a plain file name.
    pub fn compile(spec: FilesSpec) -> Result<Self, FilesError> {
        if let Some(index) = &spec.index
            && (matches!(index.as_str(), "" | "." | "..") || index.contains(['/', '\0']))
        {
            return Err(FilesError::Index {
                index: index.clone(),
            });
        }
        let root = LiveRoot::open(&spec.root).map_err(|source| {
            let path = spec.root;
            if source.kind() == io::ErrorKind::NotADirectory {
                FilesError::NotDirectory { path }
            } else {
                FilesError::Root { path, source }
            }
        })?;
        Ok(Self {
            lookup: Arc::new(Lookup {
                root,
                index: spec.index,
                precompressed: spec.precompressed,
                dotfiles: spec.dotfiles,
            }),
        })
    }

    /// The directory that it serves, as an absolute path.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.lookup.root.path()
    }

    /// Finds the file and makes the answer.
    ///
    /// It waits only when the file's name is not in the kernel's memory, and then on a blocking thread of the current
    /// tokio runtime. It may be dropped at any time.
    pub async fn resolve(&self, request: &FilesRequest<'_>) -> FilesAnswer {
        if self.lookup.root.is_due(request.now) {
            let lookup = Arc::clone(&self.lookup);
            // Nobody waits for it: this request is answered from the root as it was.
            drop(tokio::task::spawn_blocking(move || lookup.root.refresh()));
        }
        let (path, accepted) = match self.resolve_now(request) {
            Ok(answer) => return answer,
            Err(blocked) => blocked,
        };
        let lookup = Arc::clone(&self.lookup);
        let found = tokio::task::spawn_blocking(move || {
            let mut path = path;
            lookup.find(&mut path, accepted, Wait::Allowed)
        })
        .await
        .unwrap_or(Err(Miss::Refused(Refusal::Failed)));
        match found {
            Ok(found) => self.answer(found, request),
            Err(Miss::Refused(refusal)) => FilesAnswer::refused(refusal),
            Err(Miss::WouldBlock) => FilesAnswer::refused(Refusal::Exhausted),
        }
    }

    /// Answers from memory, or says what is to be looked up by somebody who may wait.
    ///
    /// Apart from `resolve`, so that the path's buffer lies on the stack and not in the future.
    fn resolve_now(
        &self,
        request: &FilesRequest<'_>,
    ) -> Result<FilesAnswer, (Box<DiskPath>, Accepted)> {
        if request.method == FilesMethod::Other {
            return Ok(FilesAnswer::method_not_allowed());
        }
        let mut path = DiskPath::new();
        if let Err(refusal) = path.decode(request.path, request.full_path, self.lookup.dotfiles) {
            return Ok(FilesAnswer::refused(refusal));
        }
        let accepted = Accepted::new(request.accept_encoding, &self.lookup.precompressed);
        match self.lookup.find(&mut path, accepted, Wait::Never) {
            Ok(found) => Ok(self.answer(found, request)),
            Err(Miss::Refused(refusal)) => Ok(FilesAnswer::refused(refusal)),
            Err(Miss::WouldBlock) => Err((Box::new(path), accepted)),
        }
    }

    /// The same plan through another interface of the kernel.
    #[cfg(test)]
    pub(super) fn through(spec: &FilesSpec, kernel: super::root::Kernel) -> io::Result<Self> {
        let lookup = Lookup {
            root: LiveRoot::open(&spec.root)?.through(kernel)?,
            index: spec.index.clone(),
            precompressed: spec.precompressed.clone(),
            dotfiles: spec.dotfiles,
        };
        Ok(Self {
            lookup: Arc::new(lookup),
        })
    }

    fn answer(&self, found: Found, request: &FilesRequest<'_>) -> FilesAnswer {
        match found {
            Found::File(representation) => {
                let vary = !self.lookup.precompressed.is_empty();
                decide::answer(representation, request, vary)
            }
            Found::Directory => decide::add_slash(request),
        }
    }
}
