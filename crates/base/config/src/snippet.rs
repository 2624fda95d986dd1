//! The lines of a file that a message shows, without what must stay hidden.

use std::collections::HashMap;

use crate::problem::Problem;
use crate::sources::Sources;
use crate::span::Span;
use crate::tree::Region;

/// How much of a line is shown.
const WIDEST: u32 = 120;
const HIDDEN: &str = "***";

/// A line and the part of it that is meant.
#[derive(Clone, Debug)]
pub(crate) struct Snippet {
    pub(crate) text: String,
    /// Characters before the mark.
    pub(crate) indent: usize,
    /// Characters of the mark.
    pub(crate) width: usize,
}

/// The lines that problems point at.
pub(crate) struct Lines<'a> {
    lines: HashMap<(u32, u32), &'a str>,
    hidden: &'a [Region],
}

impl<'a> Lines<'a> {
    pub(crate) fn new(sources: &'a Sources, problems: &[Problem]) -> Self {
        let mut wanted: Vec<(u32, u32)> = problems
            .iter()
            .flat_map(|problem| [Some(problem.span), problem.also.as_ref().map(|also| also.0)])
            .flatten()
            .map(|span| (span.file, span.line))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut lines = HashMap::new();
        for (index, source) in sources.files.iter().enumerate() {
            let mine = |&&(file, _): &&(u32, u32)| file as usize == index;
            let mut wanted = wanted.iter().filter(mine).peekable();
            for (number, line) in (1..).zip(source.text.lines()) {
                while wanted.next_if(|&&(_, line)| line < number).is_some() {}
                match wanted.peek() {
                    Some(&&key) if key.1 == number => lines.insert(key, line),
                    Some(_) => None,
                    None => break,
                };
            }
        }
        Self {
            lines,
            hidden: &sources.hidden,
        }
    }

    pub(crate) fn snippet(&self, span: Span) -> Option<Snippet> {
        let line = self.lines.get(&(span.file, span.line))?;
        let column = span.column.max(1);
        // A one-line JSON file may be long: only the neighbourhood of the mark is shown.
        let first = if column <= WIDEST {
            1
        } else {
            column - WIDEST / 2
        };
        let mut shown = Shown::default();
        if first > 1 {
            shown.push('…', 0);
        }
        let mut rest = (1..).zip(line.chars()).skip(first as usize - 1);
        for (at, c) in rest.by_ref().take(WIDEST as usize) {
            if self.is_hidden(span, at) {
                shown.hide(c, at);
            } else {
                shown.push(if c.is_control() { ' ' } else { c }, at);
            }
        }
        if rest.next().is_some() {
            shown.push('…', u32::MAX);
        }
        Some(shown.mark(column, column.saturating_add(span.len.max(1))))
    }

    fn is_hidden(&self, span: Span, column: u32) -> bool {
        let at = (span.line, column);
        self.hidden
            .iter()
            .any(|region| region.file == span.file && region.start <= at && at < region.end)
    }
}

/// What is shown of a line, with the column that each character comes from.
#[derive(Default)]
struct Shown {
    cells: Vec<(char, u32)>,
    hiding: bool,
}

impl Shown {
    fn push(&mut self, c: char, column: u32) {
        self.cells.push((c, column));
        self.hiding = false;
    }

    /// One mark stands for all that is hidden in a row, so that its length tells nothing.
    fn hide(&mut self, c: char, column: u32) {
        if !self.hiding && c == ' ' {
            return self.push(c, column);
        }
        if !self.hiding {
            self.cells.extend(HIDDEN.chars().map(|c| (c, column)));
        }
        self.hiding = true;
    }

    fn mark(mut self, from: u32, to: u32) -> Snippet {
        while self.cells.pop_if(|(c, _)| *c == ' ').is_some() {}
        let indent = self.cells.iter().filter(|(_, at)| *at < from).count();
        let marked = self.cells.iter().filter(|(_, at)| (from..to).contains(at));
        // The scanner counts the blanks behind a quoted text as its part.
        let blanks = marked.clone().rev().take_while(|(c, _)| *c == ' ').count();
        let width = marked.count() - blanks;
        Snippet {
            text: self.cells.iter().map(|(c, _)| c).collect(),
            indent,
            width: width.max(1),
        }
    }
}
