//! Why there is nothing to send.

use rustix::io::Errno;
use weir_telemetry::Reason;

/// Why a path leads to no file that may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The path could be read in two ways, or cannot be the name of any file.
    Malformed,
    /// There is nothing, or nothing that may be known of.
    NotFound,
    /// A link leads out of the root. The client learns no more than if there were nothing.
    Outside,
    /// The file may not be read, or it is a directory without an index.
    Forbidden,
    /// The process or the machine is out of file descriptors or memory.
    Exhausted,
    /// The disk failed.
    Failed,
}

impl Refusal {
    /// The status that says it.
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::NotFound | Self::Outside => 404,
            Self::Forbidden => 403,
            Self::Exhausted => 503,
            Self::Failed => 500,
        }
    }

    /// What the log says.
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Malformed => Reason::BadRequest,
            Self::NotFound => Reason::FileNotFound,
            Self::Outside | Self::Forbidden => Reason::FileForbidden,
            Self::Exhausted | Self::Failed => Reason::FileFailed,
        }
    }

    /// What the client is told.
    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::Malformed => {
                "The path holds an encoded slash, backslash or NUL, or a dot segment."
            }
            Self::NotFound | Self::Outside => "There is no such file.",
            Self::Forbidden => "This file may not be read.",
            Self::Exhausted => "The server cannot open more files now.",
            Self::Failed => "The file could not be read.",
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            // NXIO is a socket, or a device that is not there. LOOP includes links of /proc that are refused.
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::NAMETOOLONG
            | Errno::LOOP
            | Errno::NXIO
            | Errno::NODEV
            | Errno::INVAL => Self::NotFound,
            Errno::XDEV => Self::Outside,
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => Self::Exhausted,
            _ => Self::Failed,
        }
    }
}
