//! `bench guard`: what authentication, a rate limit and a firewall on one route cost a request.
//!
//! The same small GET with the same token, through a Weir whose route has none of them, each of them, and all. They take
//! turns, and the figure is the CPU time of Weir for a request, as in `bench http`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use weir_testkit::{Nginx, RawClient, Weir, Wrk};

use super::report::Report;
use super::sample::{Sample, Samples, mebibytes};
use super::words::{self, Common};
use super::{LOAD_CORE, PROXY_CORE, subject};
use crate::Result;

const HELP: &str = "\
cargo xtask bench guard [OPTIONS]

  --quick          short turns: shows that it works, not what it costs
  --rounds N       rounds in which the subjects take turns (7)
  --seconds N      length of one turn (4)
  --weir PATH      this binary instead of a fresh release build
  --record         append the report to bench/RESULTS.md
";

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What stands at the top of every config.
const BASE: &str = "\
workers: 1
admin: \"@admin@\"
log: { access: \"@log@\" }
listeners: { web: \"@web@\" }
firewall: { connections_per_ip: 100000 }
services: { app: [\"@origin@\"] }
policies:
  login: { jwt: { secret: \"@secret@\", algorithms: [HS256], issuer: https://id.example.com, audience: bench } }
  tiers: { rate_limit: { limits: [1000000/s, 5000000/10s, 20000000/min], key: ip } }
  wall:
    firewall:
      deny: [192.0.2.0/24, \"file:deny.txt\"]
      rules:
        - { deny: { path: ['~\\.php$', /wp-admin/*] } }
        - { deny: { headers: { user-agent: \"~(?i)sqlmap|nikto\" } } }
";

/// A name, and what the route has.
const SUBJECTS: &[(&str, &str)] = &[
    ("nothing", ""),
    ("JWT", ", auth: [login]"),
    ("limit of three tiers", ", policies: [tiers]"),
    ("firewall", ", policies: [wall]"),
    ("all of them", ", auth: [login], policies: [wall, tiers]"),
];

#[derive(Debug)]
struct Options {
    common: Common,
    rounds: usize,
    turn: Duration,
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self> {
        let (mut rounds, mut turn) = (7, Duration::from_secs(4));
        let common = words::read("guard", args, |option, value| {
            match option {
                "--quick" => (rounds, turn) = (1, Duration::from_secs(1)),
                "--rounds" => rounds = value.number(1..=1000)?,
                "--seconds" => turn = value.seconds(1..=1000)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self {
            common,
            rounds,
            turn,
        })
    }
}

struct Row {
    name: &'static str,
    weir: Weir,
    samples: Samples,
}

/// Measures what the options ask for.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    if words::asks_for_help(args, HELP) {
        return Ok(());
    }
    let options = Options::parse(args)?;
    crate::setup::run()?;
    super::needs_two_cores()?;
    let binary = super::binary(&options.common)?;
    weir_testkit::raise_descriptor_limit(65_536);
    let mut report = Report::new(Some(&binary));
    report.heading(
        "guard: GET, 100 bytes, 64 connections",
        "The same request with the same token, through a route that has nothing, each guard, and all of them.",
    );
    let origin = subject::origin()?;
    let mut rows = SUBJECTS
        .iter()
        .map(|(name, words)| start(name, words, &binary, &origin))
        .collect::<Result<Vec<Row>>>()?;
    let bearer = format!("Bearer {}", token());
    for round in 0..=options.rounds {
        for row in &mut rows {
            let wrk = Wrk::new(row.weir.addr("web"), "/")
                .header("Authorization", &bearer)
                .cores(LOAD_CORE);
            if round == 0 {
                wrk.run()?; // two seconds of warming up
            } else {
                let sample = Sample::take(&row.weir, &wrk.duration(options.turn))?;
                row.samples.push(sample);
            }
        }
    }
    let base = rows[0].samples.median(|sample| sample.cpu);
    let table: Vec<Vec<String>> = rows.iter().map(|row| cells(row, base)).collect();
    report.table(
        &[
            "the route has",
            "CPU µs/request",
            "more than nothing",
            "requests/s",
            "p99",
            "peak memory",
        ],
        &table,
    );
    if options.common.record {
        report.record()?;
    }
    Ok(())
}

fn start(name: &'static str, words: &str, binary: &Path, origin: &Nginx) -> Result<Row> {
    let binary = binary.to_str().ok_or("the path of Weir is not a text")?;
    let config = format!("{BASE}routes: [ {{ path: /*, service: app{words} }} ]\n");
    let launch = Weir::launch(binary, &config)
        .value("origin", origin.addr("web"))
        .value("secret", SECRET)
        .file("deny.txt", denied())
        .cores(PROXY_CORE);
    let weir = Weir::try_launch(launch)?;
    // What does not guard costs nothing.
    let without_token = if words.contains("login") { 401 } else { 200 };
    let denied = if words.contains("wall") {
        403
    } else {
        without_token
    };
    for (path, expected) in [("/", without_token), ("/x.php", denied)] {
        let status = RawClient::connect(weir.addr("web")).get(path).status;
        if status != expected {
            return Err(format!(
                "{name}: {path} without a token is answered with {status}"
            ));
        }
    }
    Ok(Row {
        name,
        weir,
        samples: Samples::default(),
    })
}

fn cells(row: &Row, base: f64) -> Vec<String> {
    if row.samples.errors() > 0 {
        let why = format!("void: {} errors", row.samples.errors());
        return vec![row.name.to_owned(), why];
    }
    let cpu = row.samples.median(|sample| sample.cpu);
    vec![
        row.name.to_owned(),
        format!("{cpu:.2}"),
        format!("{:+.2}", cpu - base),
        format!("{:.0}", row.samples.median(|sample| sample.rate)),
        row.samples.median_time(|sample| sample.p99),
        mebibytes(row.weir.usage().peak),
    ]
}

/// A list of 100,000 networks, none of which is ours.
fn denied() -> String {
    let mut list = String::new();
    for number in 0..100_000_u32 {
        let [_, a, b, c] = number.wrapping_mul(2_654_435_761).to_be_bytes();
        let _ = writeln!(list, "{}.{a}.{b}.{c}", 11 + number % 100);
    }
    list
}

/// A token that is good for a day (RFC 7519), signed with HS256.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |time| time.as_secs());
    let claims = serde_json::json!({
        "iss": "https://id.example.com", "aud": "bench", "sub": "u-1", "iat": now, "exp": now + 86_400,
        "scope": "read write",
    });
    let signed = format!(
        "{}.{}",
        base64url(br#"{"alg":"HS256","typ":"JWT"}"#),
        base64url(claims.to_string().as_bytes())
    );
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes())
        .unwrap_or_else(|_| unreachable!("a key of HMAC may have any length"));
    mac.update(signed.as_bytes());
    format!("{signed}.{}", base64url(&mac.finalize().into_bytes()))
}

/// Base64 for URLs, without padding (RFC 7515, appendix C).
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        for digit in 0..=group.len() {
            let at = bits >> (18 - 6 * digit) & 63;
            text.push(char::from(DIGITS[at as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64url;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }
}
