//! Regular expressions over bytes, bounded in size. Matching is linear in the length of the input and allocates nothing.

use regex_automata::meta::{Config, Regex};

/// How large a compiled expression may be, in bytes.
const SIZE: usize = 1 << 20;
/// Memory that the lazy automaton of one expression may use per thread, in bytes.
const CACHE: usize = 256 * 1024;

/// One compiled expression.
#[derive(Debug)]
pub(crate) struct Expression(Regex);

impl Expression {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .nest_limit(64)
            .build();
        let hir = parser.parse(text).map_err(|error| {
            let (kind, span) = match &error {
                regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span()),
                regex_syntax::Error::Translate(error) => (error.kind().to_string(), error.span()),
                _ => return error.to_string(),
            };
            format!("{kind} (at byte {})", span.start.offset)
        })?;
        let config = Config::new()
            .utf8_empty(false)
            .nfa_size_limit(Some(SIZE))
            .onepass_size_limit(Some(SIZE))
            .hybrid_cache_capacity(CACHE);
        let regex = Regex::builder().configure(config).build_from_hir(&hir);
        regex.map(Self).map_err(|error| match error.size_limit() {
            Some(_) => "it is too large".to_owned(),
            None => error.to_string(),
        })
    }

    pub(crate) fn is_match(&self, input: &[u8]) -> bool {
        self.0.is_match(input)
    }
}
