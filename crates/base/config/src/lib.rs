//! What every config of Weir stands on.
//!
//! A config goes through three hands. [`Cx::load`] reads a file or a folder, YAML or JSON, into a tree of [`Node`]s that
//! know their line and column, and fills in `${NAME}`. [`Decode`] turns the tree into plain structs, each declared once by
//! [`object!`], which makes the parser and the JSON Schema ([`schema()`]) of the same words. Then the crate that a struct
//! belongs to compiles it into a plan, and reports what is wrong through the same [`Cx`]. Nobody stops at the first
//! problem: they are collected, and [`Cx::finish`] gives a value or all [`Diagnostics`], sorted, with their lines.
//!
//! Only spans travel with values. The key path that a message shows is found from the span when it is shown, so it
//! costs nothing while all is well. What a [`Secret`] holds, and what might be a misspelt one, is taken out of every
//! line that a message quotes.
//!
//! ```
//! use weir_config::{Cx, Duration, Map, Spanned, choice, object};
//!
//! choice! {
//!     /// How an endpoint is chosen.
//!     pub enum Balance {
//!         /// The less loaded of two at random.
//!         P2c = "p2c",
//!         /// In turn.
//!         RoundRobin = "round_robin",
//!     }
//! }
//!
//! object! {
//!     /// A service.
//!     pub struct Service {
//!         /// Where it runs.
//!         pub endpoints: Vec<Spanned<String>>,
//!         /// How an endpoint is chosen.
//!         pub balance: Balance = Balance::P2c,
//!         /// How long a connection may take.
//!         pub connect: Option<Duration>,
//!     }
//!     short endpoints;
//!     check |service, node, cx| {
//!         if service.endpoints.is_empty() {
//!             cx.error(node.span, "this service has no endpoint");
//!         }
//!     };
//! }
//!
//! let text = "users: [127.0.0.1:3001]\nshop: { endpoints: [127.0.0.1:3002], balanse: p2c }\n";
//! let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
//! let services = cx.decode::<Map<Service>>();
//! let problems = cx.finish(services).expect_err("a key is misspelt");
//! assert_eq!(
//!     problems.to_string(),
//!     "\
//! error: unknown key `balanse`
//!  --> weir.yaml:2:38
//!   |
//! 2 | shop: { endpoints: [127.0.0.1:3002], balanse: p2c }
//!   |                                      ^^^^^^^ did you mean `balance`?
//!   = at: shop.balanse
//! "
//! );
//! ```
//!
//! A plan is compiled like this, and told about in the same way:
//!
//! ```
//! # use weir_config::{Cx, Loaded, Map, Name, Spanned};
//! # struct Plan;
//! fn compile(services: &Map<String>, wanted: &Spanned<Name>, cx: &mut Cx) -> Option<Plan> {
//!     if !services.contains(&wanted.value) {
//!         cx.error(wanted.span, format!("there is no service `{wanted}`"))
//!             .nearest(weir_config::nearest(wanted, services.keys()));
//!         return None;
//!     }
//!     Some(Plan)
//! }
//! # let loaded = Cx::from_text("a.yaml", "a: b", &|_| None);
//! # let mut loaded = loaded; let value = loaded.decode::<Map<String>>();
//! # let Loaded { value, sources, .. } = loaded.finish(value)?;
//! let mut cx = Cx::new(sources);
//! # let wanted = Name::new("a").map(Spanned::from).expect("a name");
//! let plan = compile(&value, &wanted, &mut cx);
//! let plan = cx.finish(plan)?.value;
//! # Ok::<(), weir_config::Diagnostics>(())
//! ```

mod address;
mod advice;
mod collections;
mod cx;
mod decode;
mod diagnostic;
mod expand;
mod fields;
mod file_path;
mod json;
mod macros;
mod nearest;
mod node;
mod planned;
mod problem;
mod render;
mod schema;
mod secret;
mod snippet;
mod sources;
mod span;
mod synonyms;
mod tree;
mod units;
mod watch;
mod words;
mod yaml;

pub use crate::address::{Cidr, Host, HostPort, ListenAddress};
pub use crate::advice::{Advice, Trouble};
pub use crate::collections::{Key, Map, Name, OneOrMany};
pub use crate::cx::{Cx, Loaded};
pub use crate::decode::{Decode, Text, decode_text, text_schema};
pub use crate::diagnostic::{Diagnostic, Diagnostics, Place};
pub use crate::expand::{Environment, process_environment};
pub use crate::fields::{Fields, OneOf, Shape, put};
pub use crate::file_path::FilePath;
pub use crate::nearest::nearest;
pub use crate::node::{Entry, Node, Scalar, Value};
pub use crate::problem::{Level, Problem};
pub use crate::schema::{ObjectSchema, Schemas, described, schema, short_name};
pub use crate::secret::Secret;
pub use crate::sources::Sources;
pub use crate::span::{Span, Spanned};
pub use crate::units::{ByteSize, Duration, Percent, Rate, Within};
pub use crate::watch::{fingerprint, is_settled};
pub use crate::words::{OrAuto, OrOff, True, decode_word, words_schema};
pub use serde_json::{Map as JsonMap, Value as Json};
