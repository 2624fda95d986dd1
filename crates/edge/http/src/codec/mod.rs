//! The HTTP/1 codec: bytes in, facts out, and back. No sockets, no clock.
//!
//! A proxy is attacked where two parsers disagree on where a message ends, so this codec accepts the grammar of
//! RFC 9112 and little else, and what is ambiguous is an error rather than a guess. A rejected head says which rule
//! it broke ([`HeadError::reason`]) and what to answer ([`HeadError::status`]).
//!
//! * [`RequestHead`] and [`ResponseHead`] parse a head in place of the last one, without allocating once warm, and
//!   whatever way the bytes are split. All rules that need only the head are applied there: what `parse` accepts has
//!   one meaning.
//! * [`Fields`] keeps field lines as offsets over one arena. Runs of unchanged lines are forwarded as they came.
//! * [`BodyReader`] finds the content in the bytes after the head, [`ChunkedDecoder`] for the chunked coding.
//! * [`encode`] writes heads and chunks.
//!
//! The module stands on its own, so that it can be fuzzed without the rest of the crate.

mod body;
mod chars;
mod chunked;
pub mod encode;
mod error;
mod facts;
mod field_id;
mod field_line;
mod fields;
mod host;
mod names;
mod request;
mod request_line;
mod response;
mod section;
#[cfg(test)]
mod tests;

pub use body::{BodyLength, BodyReader};
pub use chunked::{ChunkError, ChunkedDecoder, Run};
pub use error::HeadError;
pub use field_id::FieldId;
pub use fields::{Field, Fields};
pub(crate) use names::Names;
pub use request::RequestHead;
pub use request_line::{Method, Scheme, TargetForm};
pub use response::ResponseHead;
pub use section::{HeadLimits, Parsed, Version};
