use proptest::prelude::*;

use super::*;

/// What a parser makes of bytes that come in pieces; how many it took.
fn parse_pieces(
    bytes: &[u8],
    ends: &[usize],
) -> Result<(usize, Option<ProxyHeader>), ProxyHeaderError> {
    let mut parser = ProxyParser::default();
    let mut taken = 0;
    let mut at = 0;
    for &end in ends.iter().chain([&bytes.len()]) {
        let (n, header) = parser.push(&bytes[at..end])?;
        taken += n;
        if header.is_some() {
            return Ok((taken, header));
        }
        assert_eq!(n, end - at, "all belongs to a header that is not complete");
        at = end;
    }
    Ok((taken, None))
}

fn parse(bytes: &[u8]) -> Result<(usize, Option<ProxyHeader>), ProxyHeaderError> {
    let whole = parse_pieces(bytes, &[]);
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(parse_pieces(bytes, &every), whole, "byte by byte");
    for cut in 0..bytes.len() {
        assert_eq!(parse_pieces(bytes, &[cut]), whole, "cut at {cut}");
    }
    whole
}

fn proxied(client: &str, server: &str) -> ProxyHeader {
    ProxyHeader::Proxied {
        client: client.parse().expect("an address"),
        server: server.parse().expect("an address"),
    }
}

fn v2(version: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = V2.to_vec();
    header.extend([version, family]);
    header.extend((body.len() as u16).to_be_bytes());
    header.extend(body);
    header
}

const V4_BODY: &[u8] = &[192, 0, 2, 1, 10, 0, 0, 1, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn lines_of_version_1_are_read() {
    let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), LINE);
    for (line, expected) in [
        (
            "PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n",
            proxied("192.0.2.1:56324", "10.0.0.1:443"),
        ),
        (
            "PROXY TCP6 2001:db8::1 ::1 1 0\r\n",
            proxied("[2001:db8::1]:1", "[::1]:0"),
        ),
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
            proxied("192.0.2.1:1", "[::1]:2"),
        ),
        ("PROXY UNKNOWN\r\n", ProxyHeader::Local),
        ("PROXY UNKNOWN what ever\r\n", ProxyHeader::Local),
        (longest, ProxyHeader::Local),
    ] {
        let followed = format!("{line}GET / HTTP/1.1\r\n");
        assert_eq!(
            parse(followed.as_bytes()),
            Ok((line.len(), Some(expected))),
            "{line}"
        );
    }
}

#[test]
fn lines_that_could_be_read_in_two_ways_are_refused() {
    for line in [
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 \r\n",
        "PROXY  TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.01 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2 10.0.0.1 1 2\r\n",
        "PROXY TCP4 2001:db8::1 10.0.0.1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1  2\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n",
        "PROXY TCP4 192.0.2.1\r10.0.0.1 1 2\r\n",
        "PROXY TCP4\t192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXY TCP4 \u{e9} 10.0.0.1 1 2\r\n",
        "proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
        "PROXYTCP4 192.0.2.1 10.0.0.1 1 2\r\n",
        "POST / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01",
        " PROXY UNKNOWN\r\n",
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line:?}");
    }
    assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Err(ProxyHeaderError::Missing));
    assert_eq!(parse(b"POST"), Err(ProxyHeaderError::Missing));
}

#[test]
fn a_line_has_an_end() {
    let mut line = b"PROXY UNKNOWN ".to_vec();
    line.resize(LINE - 1, b'x');
    assert_eq!(
        parse(&line),
        Ok((LINE - 1, None)),
        "the end could still come"
    );
    line.push(b'x');
    assert_eq!(parse(&line), Err(ProxyHeaderError::TooLong));
    line.resize(10 * LINE, b'x');
    assert_eq!(parse(&line), Err(ProxyHeaderError::TooLong));
    line[..3].copy_from_slice(b"PUT");
    assert_eq!(parse(&line), Err(ProxyHeaderError::Missing));
}

#[test]
fn headers_of_version_2_are_read() {
    let mut v6_body = vec![0; 36];
    v6_body[..2].copy_from_slice(&[0x20, 0x01]);
    v6_body[15] = 1;
    v6_body[31] = 1;
    v6_body[32..].copy_from_slice(&[0, 1, 0, 2]);
    let mut with_tlvs = V4_BODY.to_vec();
    with_tlvs.extend([0x03, 0, 4, 1, 2, 3, 4, 0xea, 0xff, 0xff]);
    let v4 = proxied("192.0.2.1:56324", "10.0.0.1:443");
    for (header, expected) in [
        (v2(0x21, 0x11, V4_BODY), v4),
        (v2(0x21, 0x11, &with_tlvs), v4),
        (v2(0x21, 0x21, &v6_body), proxied("[2001::1]:1", "[::1]:2")),
        (v2(0x21, 0x00, &[]), ProxyHeader::Local),
        (v2(0x21, 0x00, &[1; 40]), ProxyHeader::Local),
        (v2(0x21, 0x31, &[b'/'; 216]), ProxyHeader::Local),
        (v2(0x20, 0x00, &[]), ProxyHeader::Local),
        (v2(0x20, 0x11, V4_BODY), ProxyHeader::Local),
        (v2(0x20, 0xff, &[7; 3]), ProxyHeader::Local),
    ] {
        let mut followed = header.clone();
        followed.extend(b"GET / HTTP/1.1\r\n");
        assert_eq!(
            parse(&followed),
            Ok((header.len(), Some(expected))),
            "{header:?}"
        );
        assert_eq!(
            parse(&header[..header.len() - 1]),
            Ok((header.len() - 1, None))
        );
    }
}

#[test]
fn headers_of_version_2_that_are_not_defined_are_refused() {
    for (version, family, body, error) in [
        (0x11, 0x11, V4_BODY, ProxyHeaderError::Unknown),
        (0x31, 0x11, V4_BODY, ProxyHeaderError::Unknown),
        (0x22, 0x11, V4_BODY, ProxyHeaderError::Unknown),
        (0x21, 0x12, V4_BODY, ProxyHeaderError::Unknown),
        (0x21, 0x10, V4_BODY, ProxyHeaderError::Unknown),
        (0x21, 0x01, V4_BODY, ProxyHeaderError::Unknown),
        (0x21, 0x41, V4_BODY, ProxyHeaderError::Unknown),
        (0x21, 0x11, &V4_BODY[..11], ProxyHeaderError::Malformed),
        (0x21, 0x21, V4_BODY, ProxyHeaderError::Malformed),
        (0x21, 0x31, V4_BODY, ProxyHeaderError::Malformed),
    ] {
        assert_eq!(
            parse(&v2(version, family, body)),
            Err(error),
            "{version:x} {family:x}"
        );
    }
    let mut broken = v2(0x21, 0x11, V4_BODY);
    broken[11] = b'\r';
    assert_eq!(parse(&broken), Err(ProxyHeaderError::Missing));
    assert_eq!(parse(b"\r\n\r\n"), Ok((4, None)));
    assert_eq!(parse(b"\r\nGET"), Err(ProxyHeaderError::Missing));
}

#[test]
fn headers_of_version_2_have_a_bound() {
    let most = v2(0x21, 0x11, &vec![0; LONGEST - FIXED]);
    assert_eq!(
        parse_pieces(&most, &[100, 5000]).map(|(n, _)| n),
        Ok(LONGEST)
    );
    let more = v2(0x21, 0x11, &vec![0; LONGEST - FIXED + 1]);
    assert_eq!(
        parse_pieces(&more[..FIXED], &[]),
        Err(ProxyHeaderError::TooLong)
    );
}

#[test]
fn after_a_mistake_nothing_is_taken() {
    let mut parser = ProxyParser::default();
    assert!(parser.is_fresh());
    assert_eq!(parser.push(b""), Ok((0, None)));
    assert!(parser.is_fresh());
    assert!(parser.push(b"x").is_err());
    assert!(!parser.is_fresh());
    assert!(parser.push(b"PROXY UNKNOWN\r\n").is_err());
}

fn any_socket() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
    ];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_a_proxy_writes_is_read(
        client in any_socket(),
        server in any_socket(),
        tlvs in proptest::collection::vec(any::<u8>(), 0..64),
        rest in proptest::collection::vec(any::<u8>(), 0..64),
        cut in any::<prop::sample::Index>(),
    ) {
        let expected = ProxyHeader::Proxied { client, server };
        let mut body = Vec::new();
        let v6 = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let (line, family) = match (client.ip(), server.ip()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                body.extend(a.octets().into_iter().chain(b.octets()));
                (format!("PROXY TCP4 {a} {b} {} {}\r\n", client.port(), server.port()), 0x11)
            }
            (a, b) => {
                let (a, b) = (v6(a), v6(b));
                body.extend(a.octets().into_iter().chain(b.octets()));
                (format!("PROXY TCP6 {a} {b} {} {}\r\n", client.port(), server.port()), 0x21)
            }
        };
        body.extend(client.port().to_be_bytes());
        body.extend(server.port().to_be_bytes());
        body.extend(&tlvs);
        for header in [line.into_bytes(), v2(0x21, family, &body)] {
            let mut bytes = header.clone();
            bytes.extend(&rest);
            let cut = cut.index(bytes.len() + 1).min(bytes.len());
            prop_assert_eq!(parse_pieces(&bytes, &[cut]), Ok((header.len(), Some(expected))));
        }
    }

    #[test]
    fn nothing_makes_it_panic_or_depends_on_pieces(
        start in prop_oneof![
            Just(Vec::new()),
            Just(V1.to_vec()),
            Just(b"PROXY TCP4 1.2.3.4 ".to_vec()),
            Just(V2.to_vec()),
            Just([V2, &[0x21, 0x11, 0]].concat()),
        ],
        bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b' '), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'.')],
            0..160,
        ),
    ) {
        let _ = parse(&[start, bytes].concat());
    }
}
