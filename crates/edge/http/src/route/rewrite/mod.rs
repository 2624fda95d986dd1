//! Templates for rewrites and redirects: `/users/{rest}`, `/new/{id}?x={q}`, `https://{host}{path}`.
//!
//! A template is compiled against the parameter names of its route, so rendering cannot meet an unknown name.
//! Values go in as they came, percent-encoded: nothing is ever decoded on the way. What would mean something else
//! in its new place is encoded: in a query `&`, `=` and `+` of a path parameter; in an authority everything that
//! is not part of a name; and anywhere controls, spaces and bytes outside ASCII. So no value can end a header
//! line, begin a query, or add a parameter.
//!
//! A rendered path has no runs of slashes (a redirect to `//evil.example` would leave the site) and no dot
//! segments. A template without `?` keeps the query of the request; one that ends in `?` drops it.

mod compile;
mod render;

use super::captures::Captures;

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateKind {
    /// The target that is sent on: a path and a query.
    Rewrite,
    /// A Location: also an absolute URL, also with a fragment.
    Redirect,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateProblem {
    /// What is wrong.
    pub message: String,
    /// What was expected, or what to do about it.
    pub help: String,
}

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `https://`, or nothing.
    scheme: Box<str>,
    parts: Box<[Part]>,
}

/// What a template is rendered from.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The host as sent; its port is left out.
    pub host: &'a [u8],
    /// The normalised path that was looked up.
    pub path: &'a [u8],
    /// The query as sent.
    pub query: Option<&'a [u8]>,
    /// The captures of the lookup.
    pub captures: &'a Captures,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    place: Place,
    source: Source,
}

/// Where in a URL a part stands, in the order of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Authority,
    Path,
    Query,
    Fragment,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// In normal form already.
    Literal(Box<[u8]>),
    Parameter(usize),
    Host,
    Path,
    Query,
    /// `?` and the query of the request, if it has one.
    KeptQuery,
}

/// Whether `bytes` begin with a percent sign and two hex digits.
fn starts_with_triple(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}
