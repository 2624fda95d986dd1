//! From text to parts: what stands where, and whether it may stand there.

use super::super::nearest::nearest;
use super::super::normalize::{has_dot_segment, is_path_byte, is_unreserved, push_encoded};
use super::super::pattern::BUILTINS;
use super::{Part, Place, Source, Template, TemplateKind, TemplateProblem, starts_with_triple};

/// Most parts in a template, so that what it renders is a bounded multiple of the request.
const MAX_PARTS: usize = 64;

impl Template {
    /// Compiles `text` for a route with these parameters.
    pub fn compile(
        text: &str,
        parameters: &[Box<str>],
        kind: TemplateKind,
    ) -> Result<Self, TemplateProblem> {
        let (scheme, body) = split_scheme(text, kind)?;
        let mut compiler = Compiler {
            kind,
            parameters,
            place: if scheme.is_empty() {
                Place::Path
            } else {
                Place::Authority
            },
            parts: Vec::new(),
            has_query: false,
        };
        let mut rest = body;
        while let Some(brace) = rest.find(['{', '}']) {
            let (literal, tail) = rest.split_at(brace);
            compiler.literal(literal)?;
            let end = tail.find('}').filter(|_| tail.starts_with('{'));
            let Some(end) = end else {
                return Err(problem(
                    format!("`{text}` has a brace without its partner"),
                    "write `{name}`; a literal brace is `%7B` or `%7D`",
                ));
            };
            rest = &tail[end + 1..];
            compiler.name(&tail[1..end], rest)?;
        }
        compiler.literal(rest)?;
        compiler.finish(scheme)
    }
}

struct Compiler<'a> {
    kind: TemplateKind,
    parameters: &'a [Box<str>],
    place: Place,
    parts: Vec<Part>,
    has_query: bool,
}

impl Compiler<'_> {
    /// Splits literal text where it goes on to the next place.
    fn literal(&mut self, mut text: &str) -> Result<(), TemplateProblem> {
        loop {
            let next = match self.place {
                Place::Authority => text.find(['/', '?', '#']),
                Place::Path => text.find(['?', '#']),
                Place::Query => text.find('#'),
                Place::Fragment => None,
            };
            let (here, after) = text.split_at(next.unwrap_or(text.len()));
            self.push_literal(here)?;
            match after.as_bytes().first() {
                None => return Ok(()),
                Some(b'/') => {
                    self.place = Place::Path;
                    text = after;
                    continue;
                }
                Some(b'?') => {
                    self.place = Place::Query;
                    self.has_query = true;
                }
                Some(_) => self.begin_fragment()?,
            }
            self.parts.push(Part {
                place: self.place,
                source: Source::Literal(after.as_bytes()[..1].into()),
            });
            text = &after[1..];
        }
    }

    fn push_literal(&mut self, text: &str) -> Result<(), TemplateProblem> {
        if text.is_empty() {
            return Ok(());
        }
        if let Some(bad) = text
            .bytes()
            .find(|byte| matches!(byte, 0..=b' ' | 0x7f | b'\\'))
        {
            return Err(problem(
                format!("the template holds `{}`", char::from(bad).escape_default()),
                "percent-encode it: a space is `%20`",
            ));
        }
        let is_name_byte = |byte: u8| is_unreserved(byte) || matches!(byte, b':' | b'[' | b']');
        if self.place == Place::Authority && !text.bytes().all(is_name_byte) {
            return Err(problem(
                format!("`{text}` cannot stand in a host"),
                "write a name and a port, such as `https://www.example.com:8443`",
            ));
        }
        let mut bytes = Vec::with_capacity(text.len());
        for (at, &byte) in text.as_bytes().iter().enumerate() {
            let is_triple = || starts_with_triple(&text.as_bytes()[at..]);
            if byte == b'%' && !is_triple() {
                return Err(problem(
                    "`%` is not followed by two hex digits",
                    "a literal `%` is `%25`",
                ));
            }
            let stays =
                byte == b'%' || is_path_byte(byte) || matches!(byte, b'/' | b'?' | b'[' | b']');
            if stays {
                bytes.push(byte)
            } else {
                push_encoded(byte, &mut bytes)
            }
        }
        self.parts.push(Part {
            place: self.place,
            source: Source::Literal(bytes.into()),
        });
        Ok(())
    }

    fn begin_fragment(&mut self) -> Result<(), TemplateProblem> {
        if self.kind == TemplateKind::Rewrite {
            return Err(problem(
                "the template holds a fragment (`#`), which is never sent to a server",
                "leave it out, or percent-encode `#` as `%23`",
            ));
        }
        self.keep_query();
        self.place = Place::Fragment;
        Ok(())
    }

    fn keep_query(&mut self) {
        if !self.has_query {
            self.has_query = true;
            self.parts.push(Part {
                place: Place::Query,
                source: Source::KeptQuery,
            });
        }
    }

    /// `{name}`, with the template text that follows it.
    fn name(&mut self, name: &str, after: &str) -> Result<(), TemplateProblem> {
        let parameter = self.parameters.iter().position(|known| **known == *name);
        let source = match (name, parameter) {
            (_, Some(index)) => Source::Parameter(index),
            ("host", _) => Source::Host,
            ("path", _) => Source::Path,
            ("query", _) => Source::Query,
            _ => return Err(self.unknown(name)),
        };
        if self.place == Place::Authority {
            match source {
                // A path begins with a slash, which ends the authority.
                Source::Path => self.place = Place::Path,
                Source::Host
                    if after.is_empty()
                        || after.starts_with(['/', '?', '#', ':'])
                        || after.starts_with("{path}") => {}
                Source::Parameter(_) if after.starts_with('.') => {}
                _ => {
                    return Err(problem(
                        format!("`{{{name}}}` could choose the host that clients are sent to"),
                        format!(
                            "write a `/` before it, or a fixed domain after it: `{{{name}}}.example.com`"
                        ),
                    ));
                }
            }
        }
        self.parts.push(Part {
            place: self.place,
            source,
        });
        Ok(())
    }

    fn unknown(&self, name: &str) -> TemplateProblem {
        let known = || self.parameters.iter().map(|name| &**name).chain(BUILTINS);
        let help = match nearest(name, known()) {
            Some(near) => format!("did you mean `{{{near}}}`?"),
            None => {
                let all: Vec<String> = known().map(|name| format!("`{{{name}}}`")).collect();
                format!("this route has {}", all.join(", "))
            }
        };
        problem(
            format!("the path of this route has no parameter `{name}`"),
            help,
        )
    }

    fn finish(mut self, scheme: &str) -> Result<Template, TemplateProblem> {
        if self.place != Place::Fragment {
            self.keep_query();
        }
        if self.parts.len() > MAX_PARTS {
            return Err(problem(
                format!("the template has more than {MAX_PARTS} parts"),
                "use fewer parameters",
            ));
        }
        // Judged with a harmless value in place of each parameter.
        let path = self.parts.iter().filter(|part| part.place == Place::Path);
        let path: Vec<&[u8]> = path
            .map(|part| match &part.source {
                Source::Literal(text) => &**text,
                _ => b"x",
            })
            .collect();
        let path = path.concat();
        if has_dot_segment(&path) {
            return Err(problem(
                "the template holds a dot segment",
                "write the path that it resolves to",
            ));
        }
        if memchr::memmem::find(&path, b"//").is_some() {
            return Err(problem(
                "the template holds a run of slashes in its path",
                "write one slash",
            ));
        }
        Ok(Template {
            scheme: scheme.into(),
            parts: self.parts.into(),
        })
    }
}

/// The scheme with its `://`, and what follows.
fn split_scheme(text: &str, kind: TemplateKind) -> Result<(&str, &str), TemplateProblem> {
    if text.starts_with("//") {
        return Err(problem(
            format!("`{text}` begins with two slashes"),
            "write one, or an absolute URL such as `https://www.example.com/`",
        ));
    }
    if text.starts_with('/') || text.starts_with("{path}") {
        return Ok(("", text));
    }
    if kind == TemplateKind::Rewrite {
        return Err(problem(
            format!("the rewrite `{text}` does not begin with `/`"),
            "write a path such as `/users/{rest}`",
        ));
    }
    let scheme = text.find("://").map(|at| text.split_at(at + 3));
    scheme
        .filter(|(scheme, rest)| {
            let name = scheme.trim_end_matches("://");
            // RFC 3986 section 3.1.
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                && !rest.is_empty()
                && !rest.starts_with(['/', '?', '#'])
                && !rest.starts_with("{path}")
        })
        .ok_or_else(|| {
            problem(
                format!("`{text}` is neither a path nor an absolute URL"),
                "write `/new/{rest}` or `https://{host}{path}`",
            )
        })
}

fn problem(message: impl Into<String>, help: impl Into<String>) -> TemplateProblem {
    TemplateProblem {
        message: message.into(),
        help: help.into(),
    }
}
