//! The Prometheus text format, version 0.0.4, as a writer.

use crate::families::{Family, Kind};
use crate::histogram::Totals;
use std::fmt::{Display, Write as _};

/// Text under construction. Samples of a family must follow its [`TextFormat::family`] at once.
#[derive(Debug, Default)]
pub(crate) struct TextFormat(String);

impl TextFormat {
    /// The HELP and TYPE lines, and a hand to write the samples with.
    pub(crate) fn family(&mut self, family: &'static Family) -> Samples<'_> {
        self.0.push_str("# HELP ");
        self.0.push_str(family.name);
        self.0.push(' ');
        push_escaped(&mut self.0, family.help, false);
        self.0.push_str("\n# TYPE ");
        self.0.push_str(family.name);
        self.0.push(' ');
        self.0.push_str(family.kind.as_str());
        self.0.push('\n');
        Samples {
            out: &mut self.0,
            family,
        }
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// Writes the samples of one family.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    out: &'a mut String,
    family: &'static Family,
}

impl Samples<'_> {
    /// One sample; `labels` are the values of the family's labels.
    pub(crate) fn sample(&mut self, labels: &[&str], value: impl Display) {
        debug_assert_ne!(self.family.kind, Kind::Histogram);
        self.line("", labels, None, value);
    }

    /// One histogram.
    pub(crate) fn histogram(&mut self, labels: &[&str], totals: &Totals) {
        debug_assert_eq!(self.family.kind, Kind::Histogram);
        for (bound, upto) in totals.shown() {
            let bound = bound as f64 / 1e9;
            self.line("_bucket", labels, Some(&bound), upto);
        }
        let count = totals.count();
        self.line("_bucket", labels, Some(&"+Inf"), count);
        self.line("_sum", labels, None, Micros(totals.sum));
        self.line("_count", labels, None, count);
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[&str],
        bound: Option<&dyn Display>,
        value: impl Display,
    ) {
        debug_assert_eq!(
            labels.len(),
            self.family.labels.len(),
            "{}",
            self.family.name
        );
        let out = &mut *self.out;
        out.push_str(self.family.name);
        out.push_str(suffix);
        let mut open = '{';
        for (name, value) in self.family.labels.iter().zip(labels) {
            out.push(open);
            out.push_str(name);
            out.push_str("=\"");
            push_escaped(out, value, true);
            out.push('"');
            open = ',';
        }
        // Writing to a String cannot fail.
        if let Some(bound) = bound {
            let _ = write!(out, "{open}le=\"{bound}\"");
            open = ',';
        }
        if open == ',' {
            out.push('}');
        }
        let _ = writeln!(out, " {value}");
    }
}

/// Microseconds, shown as seconds without a detour through floating point.
#[derive(Debug)]
pub(crate) struct Micros(pub(crate) u64);

impl Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

fn push_escaped(out: &mut String, text: &str, quoted: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families;

    #[test]
    fn labels_are_escaped() {
        let mut text = TextFormat::default();
        text.family(&families::LISTENER_ACCEPTED)
            .sample(&["a\"b\\c\nd é"], 7);
        let text = text.finish();
        assert!(
            text.ends_with("accepted_total{listener=\"a\\\"b\\\\c\\nd é\"} 7\n"),
            "{text}"
        );
    }

    #[test]
    fn no_labels_no_braces() {
        let mut text = TextFormat::default();
        text.family(&families::UPTIME)
            .sample(&[], Micros(1_500_000));
        assert!(text.finish().ends_with("\nweir_uptime_seconds 1.500000\n"));
    }
}
