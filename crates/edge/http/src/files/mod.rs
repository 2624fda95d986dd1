//! Static files (RFC 9110, sections 8, 13, 14 and 15).
//!
//! A request is answered in three steps, each a module to point at:
//!
//! 1. `path` turns what the client wrote into a relative path that has no `..`, no NUL and no hidden slash.
//! 2. `lookup` opens the file: the index of a directory, the best precompressed sibling. `root` does every open,
//!    and the kernel, not string handling, keeps it inside the root: `openat2` with `RESOLVE_BENEATH`. A symbolic
//!    link may lead anywhere inside the root and nowhere else.
//! 3. `decide` is pure. From the file's metadata and the request it makes status, fields and the bytes to send:
//!    `precondition`, then `range`.
//!
//! A worker never waits for a disk. Opening is first tried with what the kernel has in memory (`RESOLVE_CACHED`);
//! only when that is not enough does it move to a blocking thread. Content goes the same way: `resident` asks
//! whether a chunk is in the page cache before it is sent.
//!
//! The file is open from the moment it is looked at, and its length and validators come from that descriptor. A file
//! that is replaced (written beside and renamed over) is therefore always sent whole, old or new. A file that is
//! shortened in place while it is sent cannot be completed: whoever sends must end the connection then.

mod answer;
mod body;
mod decide;
mod encoding;
mod live_root;
mod lookup;
mod media;
mod path;
mod plan;
mod precondition;
mod range;
mod refusal;
mod request;
mod resident;
mod root;
#[cfg(test)]
mod tests;
mod validator;

pub use self::{
    answer::FilesAnswer,
    body::{FilesBody, Piece},
    encoding::Encoding,
    plan::{FilesError, FilesPlan, FilesSpec},
    request::{FilesMethod, FilesRequest},
};
