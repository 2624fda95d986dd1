//! JSON to [`Node`]s: RFC 8259, whole and strict.
//!
//! YAML 1.2 says that it contains JSON, but its parsers refuse what JSON files hold in practice (tabs between tokens,
//! surrogate pairs in `\u` escapes), and they take what is not JSON. So JSON has its own reader.

use crate::node::{Entry, Node, Scalar, Value};
use crate::span::Span;
use crate::tree::{Builder, Entries, MOST_DEPTH, Stop};

/// Reads a file that holds one JSON value.
pub(crate) fn read(text: &str, builder: &mut Builder<'_>) -> Result<Node, Stop> {
    let mut reader = Reader {
        rest: text,
        line: 1,
        column: 1,
        builder,
    };
    reader.space();
    let node = reader.value(0)?;
    reader.space();
    if !reader.rest.is_empty() {
        return Err(reader.stop("something follows the end of the JSON value"));
    }
    Ok(node)
}

struct Reader<'t, 'b, 'a> {
    rest: &'t str,
    line: u32,
    column: u32,
    builder: &'b mut Builder<'a>,
}

impl<'t> Reader<'t, '_, '_> {
    fn stop(&self, message: impl Into<String>) -> Stop {
        self.builder.stop(self.line, self.column, message)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.bump();
        }
    }

    fn expect(&mut self, want: char, place: &str) -> Result<(), Stop> {
        if self.peek() == Some(want) {
            self.bump();
            return Ok(());
        }
        let found = self.found();
        Err(self.stop(format!("expected `{want}` {place}, found {found}")))
    }

    fn found(&self) -> String {
        match self.peek() {
            Some(c) if c.is_control() => format!("the character U+{:04X}", u32::from(c)),
            Some(c) => format!("`{c}`"),
            None => "the end of the file".to_owned(),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Stop> {
        if depth > MOST_DEPTH {
            return Err(self.stop(format!("more than {MOST_DEPTH} levels deep")));
        }
        let mut span = Span::new(self.builder.file, self.line, self.column, 1);
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.array(depth)?,
            Some('"') => {
                let text = self.string()?;
                span.len = self.width(span);
                self.builder.scalar(Scalar::quoted(&text), span)
            }
            Some('-' | '0'..='9') => Value::Scalar(Scalar::plain(self.number()?)),
            Some('a'..='z') => Value::Scalar(Scalar::plain(self.word()?)),
            _ => {
                let found = self.found();
                return Err(self.stop(format!("expected a JSON value, found {found}")));
            }
        };
        if matches!(value, Value::Scalar(_)) {
            span.len = self.width(span);
        }
        Ok(Node {
            span,
            end: (self.line, self.column),
            value,
        })
    }

    /// How many characters were read since `start`, all on its line.
    fn width(&self, start: Span) -> u32 {
        self.column.saturating_sub(start.column).max(1)
    }

    fn object(&mut self, depth: usize) -> Result<Value, Stop> {
        self.bump();
        let mut entries = Entries::default();
        self.space();
        if self.peek() == Some('}') {
            self.bump();
            return Ok(Value::Map(Vec::new()));
        }
        loop {
            self.space();
            if self.peek() != Some('"') {
                let found = self.found();
                return Err(self.stop(format!("expected a key in double quotes, found {found}")));
            }
            let mut key_span = Span::new(self.builder.file, self.line, self.column, 1);
            let key = self.string()?;
            key_span.len = self.width(key_span);
            if key.is_empty() {
                self.builder.error(key_span, "a key cannot be empty");
            }
            self.space();
            self.expect(':', "after the key")?;
            self.space();
            let mut node = self.value(depth + 1)?;
            if matches!(node.value, Value::List(_) | Value::Map(_)) {
                node.span = key_span;
            }
            let key = key.into();
            let entry = Entry {
                key,
                key_span,
                node,
            };
            self.builder.entry(&mut entries, entry);
            self.space();
            if self.peek() == Some('}') {
                self.bump();
                return Ok(Value::Map(entries.into_list()));
            }
            self.expect(',', "or `}` after the value")?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Stop> {
        self.bump();
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(']') {
            self.bump();
            return Ok(Value::List(items));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            if self.peek() == Some(']') {
                self.bump();
                return Ok(Value::List(items));
            }
            self.expect(',', "or `]` after the item")?;
        }
    }

    fn word(&mut self) -> Result<&'t str, Stop> {
        for word in ["true", "false", "null"] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                self.column += word.len() as u32;
                return Ok(word);
            }
        }
        let mut stop = self.stop("not a JSON value");
        stop.expected("`true`, `false`, `null`, a number, or a string in double quotes");
        Err(stop)
    }

    /// RFC 8259, section 6.
    fn number(&mut self) -> Result<&'t str, Stop> {
        let text = self.rest;
        if self.peek() == Some('-') {
            self.bump();
        }
        if self.peek() == Some('0') {
            self.bump();
            if matches!(self.peek(), Some('0'..='9')) {
                return Err(self.stop("a JSON number does not begin with 0"));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some('.') {
            self.bump();
            self.digits()?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.bump();
            if matches!(self.peek(), Some('-' | '+')) {
                self.bump();
            }
            self.digits()?;
        }
        Ok(&text[..text.len() - self.rest.len()])
    }

    fn digits(&mut self) -> Result<(), Stop> {
        if !matches!(self.peek(), Some('0'..='9')) {
            let found = self.found();
            return Err(self.stop(format!("expected a digit, found {found}")));
        }
        while matches!(self.peek(), Some('0'..='9')) {
            self.bump();
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, Stop> {
        self.bump();
        let mut out = String::new();
        loop {
            match self.peek() {
                None => return Err(self.stop("this string has no end")),
                Some('"') => {
                    self.bump();
                    return Ok(out);
                }
                Some('\\') => out.push(self.escape()?),
                // RFC 8259, section 7: control characters MUST be escaped.
                Some(c) if c < ' ' => {
                    let found = self.found();
                    return Err(self.stop(format!("{found} must be escaped in a string")));
                }
                Some(c) => {
                    out.push(c);
                    self.bump();
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Stop> {
        self.bump();
        let c = match self.peek() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                self.bump();
                return self.unicode();
            }
            _ => {
                let found = self.found();
                return Err(self.stop(format!("{found} is not a JSON escape")));
            }
        };
        self.bump();
        Ok(c)
    }

    /// RFC 8259, section 7: characters outside the basic plane are two escapes.
    fn unicode(&mut self) -> Result<char, Stop> {
        const LONE: &str = "half of a surrogate pair stands alone";
        let high = self.hex()?;
        let code = match high {
            0xD800..=0xDBFF => {
                if !self.rest.starts_with("\\u") {
                    return Err(self.stop(LONE));
                }
                self.bump();
                self.bump();
                let low = self.hex()?;
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err(self.stop(LONE));
                }
                0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.stop(LONE))
    }

    fn hex(&mut self) -> Result<u32, Stop> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                return Err(self.stop("expected four hexadecimal digits after `\\u`"));
            };
            code = code * 16 + digit;
            self.bump();
        }
        Ok(code)
    }
}
