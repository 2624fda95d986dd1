//! Which rule takes a request: a pure, immutable table compiled from the routes of a plan.
//!
//! A request is answered by the **most specific** rule that matches it, so the order of rules in a file never
//! matters. "Most specific" is one total order, compared from the top; the first difference decides:
//!
//! 1. **Host**: exact, then the longer wildcard, then the shorter wildcard, then any host.
//! 2. **Path**, by kind:
//!    1. complete paths (`/a/b`, `/a/{id}`), segment by segment from the left: a literal before a parameter;
//!    2. regexes (`~^/a/\d+$`): the longer literal text after `^` first, then the longer pattern, then the
//!       pattern in alphabetical order. A regex is written for a purpose that a prefix could not say, so it
//!       stands above every prefix, as in nginx;
//!    3. prefixes (`/a/*`), segment by segment from the left: a literal, then a parameter, then the `*`. A longer
//!       prefix therefore stands before a shorter one that begins it.
//! 3. **Method**: a rule that lists the method, then one that takes HEAD because it lists GET, then any method.
//! 4. **Conditions**: more headers, then more queries, then more exact values, then more regexes (the rest are
//!    presence). Rules that still tie have different conditions that one request may satisfy together; the text
//!    of the conditions (name, kind, value) in alphabetical order decides, which is arbitrary but fixed.
//! 5. **Listeners**: a rule that lists listeners, then one for every listener.
//!
//! Two rules that are equal in all of this and share a method and a listener can never be told apart: that is an
//! error when the table is compiled, never a surprise when it is used.
//!
//! # What matches
//! * Hosts compare without case, port and one trailing dot. `*.example.com` takes any depth of labels below, not
//!   `example.com` itself.
//! * `/a/b` and `/a/b/` are different paths. `/a/*` takes `/a`, `/a/` and everything below; `{rest}` is what
//!   follows `/a/`, or nothing. `{id}` is one whole segment that is not empty.
//! * Path regexes see the normalised path as bytes and are ASCII (`\w` is `[0-9A-Za-z_]`); they are anchored only
//!   where they say so, and their named groups become parameters.
//! * A header or query value is exact text, a regex after `~`, or `*` for "present". Of a repeated header or
//!   query name any one value may match. Query names and values compare percent-decoded, `+` being a space.
//! * A rule that lists GET also takes HEAD (RFC 9110 section 9.3.2), behind a rule that lists HEAD itself.
//!
//! When every candidate fails on its method alone the answer is 405 with the union of what they allow
//! (RFC 9110 section 15.5.6); a less specific rule that does take the method wins over that.
//!
//! # Paths that two parsers read differently
//! A guard on `/admin/*` is worth nothing if `//admin`, `/x/../admin` or `/%61dmin` passes it by and the server
//! behind reads `/admin`. So [`normalize()`] runs before every lookup, and rules are normalised alike:
//! unreserved bytes are percent-decoded, hex is upper case, bytes that RFC 3986 does not allow raw are encoded,
//! runs of slashes merge, dot segments resolve. What no two parsers agree on is refused: climbing above the
//! root, broken percent-encoding, NUL, backslashes, and dot segments that only show once `%2F`, `%5C` or `;` is
//! read as a boundary (`/a/..%2Fb`, `/..;/b`). `%2F` itself stays encoded and separates no segments, unless the listener says
//! that it is to be refused, or decoded before anything is decided. Nor are `;parameters` dropped. But a request that a server which does
//! either would take for one of a route with stricter policies is refused ([`readings`]).
//!
//! **Forward the normalised path whenever [`Normalized::Rewritten`] says it differs** from what was sent, so that
//! Weir and the server behind it always judge the same bytes. Otherwise forward the target as sent.
//!
//! # How it is fast
//! Hosts, complete paths and the edges of the segment trees live in three open-addressed tables, so a lookup
//! costs one probe per host form and one per segment, whatever the number of rules. Regexes are grouped by
//! their literal prefix, and a large group is searched as one automaton. Nothing is allocated once
//! [`Captures`] is warm. Only rules that share one host and one path are tried one after the other.

mod captures;
mod compile;
mod condition;
mod explain;
mod expression;
mod find;
mod host;
mod index;
mod listeners;
mod method;
mod nearest;
mod normalize;
mod order;
mod pattern;
mod problem;
mod readings;
mod rewrite;
mod rule;
mod segments;
mod table;
#[cfg(test)]
mod tests;

pub use self::captures::Captures;
pub use self::condition::HeaderSource;
pub use self::explain::{Step, Verdict};
pub use self::find::{Lookup, Outcome};
pub use self::host::without_port;
pub use self::method::MethodSet;
pub use self::normalize::{Normalized, PathError, normalize};
pub use self::problem::{Field, RouteProblem};
pub(crate) use self::readings::{may_have_readings, readings};
pub use self::rewrite::{Template, TemplateKind, TemplateProblem, Values};
pub use self::rule::{Limits, Rule, parameters};
pub use self::table::RouteTable;
