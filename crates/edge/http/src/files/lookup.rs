//! From a path to the open file that answers it.

use std::fs::File;

use rustix::{
    fs::{FileType, fstat},
    io::Errno,
};

use super::{
    encoding::{Accepted, Encoding},
    live_root::LiveRoot,
    media,
    path::DiskPath,
    refusal::Refusal,
    root::{Root, Wait},
    validator::Metadata,
};

/// Where to look, and for what.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) root: LiveRoot,
    pub(super) index: Option<String>,
    pub(super) precompressed: Vec<Encoding>,
    pub(super) dotfiles: bool,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    File(Representation),
    /// A directory, and the path lacks the slash.
    Directory,
}

/// A file to be sent.
#[derive(Debug)]
pub(super) struct Representation {
    pub(super) file: File,
    pub(super) metadata: Metadata,
    pub(super) media_type: &'static str,
    pub(super) encoding: Option<Encoding>,
}

/// Why nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// Nobody knows without waiting.
    WouldBlock,
    Refused(Refusal),
}

/// Where the files of one request are, and how long to look.
#[derive(Clone, Copy)]
struct At<'a> {
    root: &'a Root,
    wait: Wait,
}

/// What is behind one name.
enum Opened {
    File(File, Metadata),
    Directory,
}

impl Lookup {
    /// Opens what `path` stands for. `path` is then as it was before when the answer is [`Miss::WouldBlock`].
    pub(super) fn find(
        &self,
        path: &mut DiskPath,
        accepted: Accepted,
        wait: Wait,
    ) -> Result<Found, Miss> {
        // One root for every open of a request, so that what it finds belongs together.
        let root = self.root.current();
        let at = At { root: &root, wait };
        let len = path.len();
        let found = if path.is_directory() {
            self.find_index(at, path, accepted)
        } else {
            match at.open(path)? {
                Opened::Directory => Ok(Found::Directory),
                Opened::File(file, metadata) => at.choose(path, file, metadata, accepted),
            }
        };
        path.truncate(len);
        found
    }

    fn find_index(
        &self,
        at: At<'_>,
        path: &mut DiskPath,
        accepted: Accepted,
    ) -> Result<Found, Miss> {
        if let Some(index) = &self.index {
            let len = path.len();
            path.push_name(index.as_bytes())?;
            match at.open(path) {
                Ok(Opened::File(file, metadata)) => {
                    return at.choose(path, file, metadata, accepted);
                }
                Ok(Opened::Directory)
                | Err(Miss::Refused(Refusal::NotFound | Refusal::Outside)) => {}
                Err(miss) => return Err(miss),
            }
            path.truncate(len);
        }
        // Nothing lists a directory; whether there is one decides between 403 and 404.
        Err(Miss::Refused(match at.open(path)? {
            Opened::Directory => Refusal::Forbidden,
            Opened::File(..) => Refusal::NotFound,
        }))
    }
}

impl At<'_> {
    /// Looks for a better representation of the file that is open.
    fn choose(
        self,
        path: &mut DiskPath,
        file: File,
        metadata: Metadata,
        accepted: Accepted,
    ) -> Result<Found, Miss> {
        // A sibling is the same thing in other bytes: its type is that of the original name.
        let media_type = media::type_of(path.name());
        let len = path.len();
        for encoding in accepted.iter() {
            if path.push(encoding.suffix()).is_err() {
                break;
            }
            let sibling = self.open(path);
            path.truncate(len);
            match sibling {
                Ok(Opened::File(file, metadata)) => {
                    return Ok(Found::File(Representation {
                        file,
                        metadata,
                        media_type,
                        encoding: Some(encoding),
                    }));
                }
                Err(Miss::WouldBlock) => return Err(Miss::WouldBlock),
                // Absent, unreadable or no file: the original still answers.
                Ok(Opened::Directory) | Err(Miss::Refused(_)) => {}
            }
        }
        Ok(Found::File(Representation {
            file,
            metadata,
            media_type,
            encoding: None,
        }))
    }

    fn open(self, path: &DiskPath) -> Result<Opened, Miss> {
        let opened = match self.root.open_file(path.as_c_str(), self.wait) {
            Ok(opened) => opened,
            Err(Errno::AGAIN | Errno::INTR) if self.wait == Wait::Never => {
                return Err(Miss::WouldBlock);
            }
            Err(errno) => return Err(Miss::Refused(errno.into())),
        };
        let stat = fstat(&opened).map_err(Refusal::from)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Opened::File(opened.into(), Metadata::from(&stat))),
            FileType::Directory => Ok(Opened::Directory),
            // Pipes and devices have no length and no end.
            _ => Err(Miss::Refused(Refusal::NotFound)),
        }
    }
}

impl From<Refusal> for Miss {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
