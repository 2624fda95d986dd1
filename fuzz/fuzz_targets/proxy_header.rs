//! A PROXY header: no panic, no dependence on how the bytes are split, nothing taken that follows it, and what it says
//! comes back when it is written again.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use weir_fuzz::proxy_protocol::{ProxyHeader, ProxyHeaderError, ProxyParser};
use weir_fuzz::splits;

type Outcome = Result<(usize, Option<ProxyHeader>), ProxyHeaderError>;

fuzz_target!(|input: &[u8]| {
    let whole = parse(input, &[]);
    for ends in splits(input.len()) {
        assert_eq!(parse(input, &ends), whole, "{ends:?}");
    }
    let Ok((taken, Some(header))) = whole else {
        return;
    };
    // What follows makes no difference.
    assert_eq!(parse(&input[..taken], &[]), whole);
    let mut followed = input[..taken].to_vec();
    followed.extend(b"PROXY UNKNOWN\r\n");
    assert_eq!(parse(&followed, &[]), whole);
    if let ProxyHeader::Proxied { client, server } = header {
        let line = match (client.ip(), server.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                format!(
                    "PROXY TCP4 {from} {to} {} {}\r\n",
                    client.port(),
                    server.port()
                )
            }
            (from, to) => {
                let (from, to) = (v6(from), v6(to));
                format!(
                    "PROXY TCP6 {from} {to} {} {}\r\n",
                    client.port(),
                    server.port()
                )
            }
        };
        assert_eq!(
            parse(line.as_bytes(), &[]),
            Ok((line.len(), Some(header))),
            "{line}"
        );
    }
});

fn v6(ip: IpAddr) -> std::net::Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn parse(input: &[u8], ends: &[usize]) -> Outcome {
    let mut parser = ProxyParser::default();
    let (mut at, mut all) = (0, 0);
    for &end in ends.iter().chain([&input.len()]) {
        let (taken, header) = parser.push(&input[at..end])?;
        all += taken;
        if header.is_some() {
            return Ok((all, header));
        }
        assert_eq!(taken, end - at);
        at = end;
    }
    Ok((all, None))
}
