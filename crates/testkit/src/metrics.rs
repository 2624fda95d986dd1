//! The Prometheus text format, as much as a test needs to look a value up.

use std::collections::BTreeMap;

/// Samples of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

/// One line: a name, its labels, a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name, with `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Metrics {
    /// Parses a scrape; panics on a line that is no comment and no sample.
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|line| parse_line(line).unwrap_or_else(|| panic!("not a metric: {line:?}")))
            .collect();
        Self { samples }
    }

    /// Every sample of that name that has these labels, and maybe others.
    pub fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        })
    }

    /// The sum over [`Metrics::matching`]; 0 when nothing matches.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// The only value that matches; panics with the samples of that name when it is none or several.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<&Sample> = self.matching(name, labels).collect();
        match found.as_slice() {
            [sample] => sample.value,
            _ => panic!(
                "{} samples of {name}{labels:?} among {:#?}",
                found.len(),
                self.matching(name, &[]).collect::<Vec<_>>()
            ),
        }
    }

    /// All samples.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

fn parse_line(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().ok()?, // `+Inf` and `NaN` parse too
    })
}

fn parse_labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, after) = rest.split_once("=\"")?;
        let (value, after) = parse_value(after)?;
        labels.insert(key.to_owned(), value);
        rest = after;
    }
}

/// Reads up to the closing quote; `\\`, `\"` and `\n` are escapes.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name_and_labels() {
        let metrics = Metrics::parse(
            "# HELP a things\n# TYPE a counter\na{route=\"/x\",code=\"2xx\"} 3\na{route=\"/y\\\"\\\\\",code=\"2xx\"} 4 1700\n\nb 1.5\nc_bucket{le=\"+Inf\"} 2\n",
        );
        assert_eq!(metrics.value("a", &[("route", "/x")]), 3.0);
        assert_eq!(metrics.value("a", &[("route", "/y\"\\")]), 4.0);
        assert_eq!(metrics.sum("a", &[("code", "2xx")]), 7.0);
        assert_eq!(metrics.sum("a", &[("code", "5xx")]), 0.0);
        assert_eq!(
            (metrics.value("b", &[]), metrics.value("c_bucket", &[])),
            (1.5, 2.0)
        );
    }
}
