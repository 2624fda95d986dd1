//! Placeholders in the configs of test servers.
//!
//! `@name@` stands for a value that only the running test knows: `@dir@` is the server's temporary folder, `@log@` an
//! access log in it, and every other name an address on loopback, chosen at first sight and the same from then on.
//! `@` is free in YAML, nginx and HAProxy configs alike, which braces and dollars are not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use crate::free_addr;

/// What each placeholder stands for.
#[derive(Debug, Default)]
pub(crate) struct Template {
    values: BTreeMap<String, String>,
}

impl Template {
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.values.insert(name.to_owned(), value.into());
    }

    pub(crate) fn set_dir(&mut self, dir: &Path) {
        self.set("dir", dir.display().to_string());
        self.set("log", dir.join("access.log").display().to_string());
    }

    /// Replaces every `@name@`; unknown names become free addresses.
    pub(crate) fn expand(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('@') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let name = after
                .find('@')
                .map(|end| &after[..end])
                .filter(|name| is_name(name));
            match name {
                Some(name) => {
                    let value = self
                        .values
                        .entry(name.to_owned())
                        .or_insert_with(|| free_addr().to_string());
                    out.push_str(value);
                    rest = &after[name.len() + 1..];
                }
                None => {
                    out.push('@');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    pub(crate) fn addr(&self, name: &str) -> Option<SocketAddr> {
        self.values.get(name)?.parse().ok()
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_values_and_the_rest_stays() {
        let mut template = Template::default();
        template.set("origin", "1.2.3.4:5");
        let text = template.expand("a: @origin@ b: user@host x@y@z @Not@ @web@ @web@");
        let web = template.addr("web").expect("chosen");
        let y = template.addr("y").expect("chosen");
        assert_eq!(
            text,
            format!("a: 1.2.3.4:5 b: user@host x{y}z @Not@ {web} {web}")
        );
    }
}
