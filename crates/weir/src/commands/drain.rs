//! `weir drain`

use super::admin::{Remote, nonsense, parsed};
use crate::cli::Drain;
use crate::terminal::{Output, Paint};

pub(super) fn run(arguments: &Drain) -> Output {
    drain(arguments).unwrap_or_else(|output| output)
}

fn drain(arguments: &Drain) -> Result<Output, Output> {
    let remote = Remote::find(&arguments.admin, &arguments.config)?;
    let mut path = format!("/drain?endpoint={}", encoded(&arguments.endpoint));
    if let Some(service) = &arguments.service {
        path.push_str("&service=");
        path.push_str(&encoded(service));
    }
    if arguments.undo {
        path.push_str("&undo=true");
    }
    let answer = remote.ask("POST", &path)?;
    let (Some(body), 200) = (parsed(&answer), answer.status) else {
        return Err(nonsense(&remote, &answer));
    };
    if arguments.json.wanted {
        return Ok(Output::fine(format!("{body:#}\n")));
    }
    let now = if arguments.undo {
        "gets requests again"
    } else {
        "gets no new requests"
    };
    let mut text = String::new();
    for endpoint in body["endpoints"].as_array().into_iter().flatten() {
        let service = endpoint["service"].as_str().unwrap_or_default();
        let address = endpoint["address"].as_str().unwrap_or_default();
        text.push_str(&format!("{service}: {address} {now}\n"));
    }
    let mut output = Output::fine(text);
    for warning in body["warnings"].as_array().into_iter().flatten() {
        let label = Paint::of_stderr().yellow("warning:");
        let warning = warning.as_str().unwrap_or_default();
        output.stderr.push_str(&format!("{label} {warning}\n"));
    }
    Ok(output)
}

/// For a place in a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn nothing_can_add_to_the_query() {
        assert_eq!(encoded("[::1]:80"), "[::1]:80");
        assert_eq!(encoded("a&b=c%d e\r\nü"), "a%26b%3Dc%25d%20e%0D%0A%C3%BC");
    }
}
