//! YAML to [`Node`]s.
//!
//! `saphyr-parser` turns text into events; this keeps the part of YAML that a config needs: mappings with plain keys,
//! lists, scalars, anchors and aliases, merge keys. Tags are refused, since a value's type comes from the place where it
//! stands. Aliases are copies, so what they add up to is bounded: nine lines of nested aliases can ask for gigabytes.

mod slips;

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Marks, StrInput, Tag};

use crate::node::{Entry, Node, Scalar, Style, Value};
use crate::span::Span;
use crate::tree::{Builder, Entries, MOST_DEPTH, Stop};

/// How much all aliases of a file may copy: a unit for each value, and one for each 64 bytes of its text.
const MOST_COPIED: usize = 200_000;

/// What to do about what the scanner says, by a part of it.
const HELP: [(&str, &str); 12] = [
    ("comments must be separated", "a space stands before `#`"),
    ("tab", "indent with spaces"),
    (
        "unexpected character",
        "what begins with this character goes in quotes",
    ),
    (
        "unknown escape character",
        "in double quotes a backslash begins an escape: write it in single quotes, such as '~^/a/\\d+$'",
    ),
    (
        "quoted scalar, found unexpected end of stream",
        "the quote that opens here is never closed",
    ),
    (
        "invalid indentation in flow construct",
        "a closing bracket is missing on a line above",
    ),
    (
        "anchor",
        "what begins with `*` or `&` goes in quotes: \"*\"; any path is `/*`",
    ),
    (
        "mapping values are not allowed",
        "here or on the line above, a colon or the space after it is missing (`name: value`), or that after a dash (`- item`), or the indent differs",
    ),
    ("did not find expected '-'", IN_ONE_COLUMN),
    ("did not find expected key", IN_ONE_COLUMN),
    (
        "simple key",
        "a colon and a space are missing here or on the line above",
    ),
    (
        "illegal placement of ':'",
        "a closing bracket is missing before, or this text goes in quotes",
    ),
];

const IN_ONE_COLUMN: &str = "the keys of one item begin in one column";

/// Reads a file that holds one YAML document. `None` for an empty file.
pub(crate) fn read(text: &str, builder: &mut Builder<'_>) -> Result<Option<Node>, Stop> {
    let mut reader = Reader {
        text,
        parser: Parser::new_from_str(text),
        builder,
        anchors: HashMap::new(),
        copied: 0,
    };
    reader.document()
}

struct Reader<'t, 'b, 'a> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    builder: &'b mut Builder<'a>,
    anchors: HashMap<usize, Node>,
    copied: usize,
}

impl<'t> Reader<'t, '_, '_> {
    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        let mut documents = 0;
        loop {
            let (event, marks) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let mut stop = self.stop(marks.start, "a second document starts here");
                        stop.expected("one document in a file").help(
                            "put each into a file of its own in a folder, and give Weir the folder",
                        );
                        return Err(stop);
                    }
                }
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                event => {
                    let node = self.node(event, marks, 0)?;
                    root = (!node.is_null()).then_some(node);
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Marks), Stop> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.no_yaml(*error.marker(), error.info())),
            None => Ok((Event::StreamEnd, Marks::default())),
        }
    }

    /// What the scanner says, and what to do about it.
    fn no_yaml(&self, marker: Marker, said: &str) -> Stop {
        let (line, column) = place(marker);
        let tab = said
            .contains("tab")
            .then(|| slips::indenting_tab(self.text, line))
            .flatten();
        let (line, column) = tab.unwrap_or((line, column));
        let message = format!("not YAML: {said}");
        let mut stop = self.builder.stop(line, column, message);
        let unquoted = slips::unquoted(self.text, line, column);
        if let Some(help) = unquoted.filter(|_| said.contains("did not find expected ','")) {
            stop.help(help);
        } else if let Some((_, help)) = HELP.iter().find(|(part, _)| said.contains(part)) {
            stop.help(*help);
        }
        stop
    }

    fn stop(&self, marker: Marker, message: impl Into<String>) -> Stop {
        let (line, column) = place(marker);
        self.builder.stop(line, column, message)
    }

    fn span(&self, marks: Marks) -> Span {
        let (line, column) = place(marks.start);
        let (end_line, end_column) = place(marks.end);
        let len = if line == end_line {
            end_column.saturating_sub(column)
        } else {
            1
        };
        Span::new(self.builder.file, line, column, len.max(1))
    }

    /// The span of a collection, until a key that it stands under gives it its own.
    fn collection(&self, marks: Marks) -> Span {
        Span {
            len: 0,
            ..self.span(marks)
        }
    }

    fn node(&mut self, event: Event<'t>, marks: Marks, depth: usize) -> Result<Node, Stop> {
        if depth > MOST_DEPTH {
            let message = format!("more than {MOST_DEPTH} levels deep");
            return Err(self.stop(marks.start, message));
        }
        let span = self.span(marks);
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.as_deref(), marks)?;
                let scalar = scalar(&text, style);
                let value = self.builder.scalar(scalar, span);
                let end = place(marks.end);
                (anchor, Node { span, end, value })
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(tag.as_deref(), marks)?;
                (anchor, self.list(self.collection(marks), depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(tag.as_deref(), marks)?;
                (anchor, self.map(self.collection(marks), depth)?)
            }
            Event::Alias(anchor) => return self.alias(anchor, marks, depth),
            _ => return Err(self.stop(marks.start, "not YAML: a value is missing")),
        };
        if anchor != 0 {
            self.pay(&node, marks)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, span: Span, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, marks) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Node {
                    span,
                    end: place(marks.end),
                    value: Value::List(items),
                });
            }
            items.push(self.node(event, marks, depth + 1)?);
        }
    }

    fn map(&mut self, span: Span, depth: usize) -> Result<Node, Stop> {
        let mut entries = Entries::default();
        let mut merged = Vec::new();
        loop {
            let (event, marks) = self.next()?;
            if event == Event::MappingEnd {
                self.merge(&mut entries, merged)?;
                return Ok(Node {
                    span,
                    end: place(marks.end),
                    value: Value::Map(entries.into_list()),
                });
            }
            let plain = matches!(&event, Event::Scalar(_, ScalarStyle::Plain, ..));
            let key_span = self.span(marks);
            let key = self.key(event, marks, depth)?;
            let (event, marks) = self.next()?;
            let collection = matches!(&event, Event::SequenceStart(..) | Event::MappingStart(..));
            let mut node = self.node(event, marks, depth + 1)?;
            if plain && *key == *"<<" {
                merged.push((key_span, node));
                continue;
            }
            if collection {
                node.span = key_span;
            }
            let entry = Entry {
                key,
                key_span,
                node,
            };
            self.builder.entry(&mut entries, entry);
        }
    }

    fn key(&mut self, event: Event<'t>, marks: Marks, depth: usize) -> Result<Box<str>, Stop> {
        let text: Option<Box<str>> = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.as_deref(), marks)?;
                if anchor != 0 {
                    let value = Value::Scalar(scalar(&text, style));
                    let (span, end) = (self.span(marks), place(marks.end));
                    self.anchors.insert(anchor, Node { span, end, value });
                }
                Some(text.as_ref().into())
            }
            Event::Alias(anchor) => match self.alias(anchor, marks, depth)?.value {
                Value::Scalar(scalar) => Some(scalar.text),
                _ => None,
            },
            _ => None,
        };
        match text {
            Some(text) if !text.is_empty() => Ok(text),
            _ => {
                let mut stop = self.stop(marks.start, "this cannot be a key");
                stop.expected("a name, as in `name: value`");
                Err(stop)
            }
        }
    }

    fn alias(&mut self, anchor: usize, marks: Marks, depth: usize) -> Result<Node, Stop> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(self.stop(marks.start, "an alias to a value that is not complete yet"));
        };
        if depth + height(&node) > MOST_DEPTH {
            let message = format!("more than {MOST_DEPTH} levels deep");
            return Err(self.stop(marks.start, message));
        }
        self.pay(&node, marks)?;
        Ok(node)
    }

    /// Counts a copy against the bound.
    fn pay(&mut self, node: &Node, marks: Marks) -> Result<(), Stop> {
        self.copied = self.copied.saturating_add(weight(node));
        if self.copied > MOST_COPIED {
            let message = "the aliases of this file add up to too much";
            return Err(self.stop(marks.start, message));
        }
        Ok(())
    }

    /// `<<: *base` and `<<: [*a, *b]`: entries that the mapping does not have itself, earlier ones first.
    fn merge(&mut self, entries: &mut Entries, merged: Vec<(Span, Node)>) -> Result<(), Stop> {
        for (key_span, node) in merged {
            let bases = match node.value {
                Value::List(items) => items,
                _ => vec![node],
            };
            for base in bases {
                let Value::Map(list) = base.value else {
                    self.builder
                        .error(key_span, "`<<` takes in a mapping, and this is none")
                        .expected("an alias to a mapping, or a list of them");
                    continue;
                };
                for entry in list {
                    if entries.find(&entry.key).is_none() {
                        entries.push(entry);
                    }
                }
            }
        }
        Ok(())
    }

    fn no_tag(&self, tag: Option<&Tag>, marks: Marks) -> Result<(), Stop> {
        if tag.is_none() {
            return Ok(());
        }
        let mut stop = self.stop(marks.start, "tags (`!...`) are not taken");
        stop.help("leave it out, or put a text that begins with `!` in quotes");
        Err(stop)
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Scalar {
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        _ => Style::Quoted,
    };
    Scalar {
        text: text.into(),
        style,
    }
}

fn place(marker: Marker) -> (u32, u32) {
    let bounded = |n: usize| u32::try_from(n).unwrap_or(u32::MAX - 1);
    (bounded(marker.line()), bounded(marker.col()) + 1)
}

fn weight(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(scalar) => 1 + scalar.text.len() / 64,
        Value::List(items) => items.iter().map(weight).sum::<usize>() + 1,
        Value::Map(entries) => {
            let entry = |entry: &Entry| 1 + entry.key.len() / 64 + weight(&entry.node);
            entries.iter().map(entry).sum::<usize>() + 1
        }
        Value::Broken => 1,
    }
}

fn height(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|e| height(&e.node)).max().unwrap_or(0),
        Value::Scalar(_) | Value::Broken => 0,
    }
}
