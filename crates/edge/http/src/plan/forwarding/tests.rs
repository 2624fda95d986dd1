//! Tests of who is believed, and of what is told.

use std::net::IpAddr;

use super::*;
use crate::codec::{HeadLimits, Parsed};

const PEER: &str = "10.9.9.9";

fn request(fields: &str) -> RequestHead {
    let mut request = RequestHead::new();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let limits = HeadLimits {
        max_head: 16384,
        max_fields: 100,
        max_target: 1024,
        max_field: 8192,
    };
    let parsed = request.parse(head.as_bytes(), &mut 0, &limits);
    assert!(matches!(parsed, Ok(Parsed::Complete(_))), "{fields}");
    request
}

fn forwarding(read: ReadFields, send: ForwardedFields) -> Forwarding {
    Forwarding {
        trusted: ["10.0.0.0/8", "fd00::/8"]
            .map(|cidr| weir_config::Text::from_text(cidr).expect("a network"))
            .into(),
        read,
        x_forwarded: send != ForwardedFields::Forwarded,
        forwarded: send != ForwardedFields::XForwarded,
        replaced: FieldSet::default(),
    }
}

fn client(read: ReadFields, fields: &str) -> String {
    let request = request(fields);
    let forwarding = forwarding(read, ForwardedFields::Both);
    let peer: IpAddr = PEER.parse().expect("an address");
    let stranger = forwarding.client([203, 0, 113, 1].into(), false, &request);
    assert_eq!(stranger.to_string(), "203.0.113.1", "{fields}");
    forwarding.client(peer, true, &request).to_string()
}

/// What an endpoint is told when the peer, who is trusted, says this.
fn told(read: ReadFields, send: ForwardedFields, fields: &str) -> String {
    let mut out = Vec::new();
    let peer = AddressText::new(PEER.parse().expect("an address"));
    forwarding(read, send).write(&mut out, &peer, true, &request(fields));
    String::from_utf8(out).expect("text")
}

#[test]
fn the_client_is_the_nearest_that_is_not_trusted() {
    for (chain, expected) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.1", "192.0.2.1"),
        ("198.51.100.7, 192.0.2.1, 10.0.0.1, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("2001:db8::1, fd00::1", "2001:db8::1"),
        ("[2001:db8::1]:80,10.0.0.1", "2001:db8::1"),
        ("unknown", PEER),
        ("", PEER),
        ("192.0.2.1, unknown, 10.0.0.1", "10.0.0.1"),
        ("192.0.2.1, <script>, 10.0.0.1", "10.0.0.1"),
        ("192.0.2.1,", PEER),
        ("\"192.0.2.1, 192.0.2.2", "192.0.2.2"),
    ] {
        let seen = client(
            ReadFields::XForwarded,
            &format!("X-Forwarded-For: {chain}\r\n"),
        );
        assert_eq!(seen, expected, "{chain:?}");
    }
    let lines = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2, 10.0.0.1\r\n";
    assert_eq!(client(ReadFields::XForwarded, lines), "192.0.2.2");
    assert_eq!(client(ReadFields::XForwarded, ""), PEER);
}

#[test]
fn forwarded_is_read_where_proxies_write_it() {
    for (chain, expected) in [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=192.0.2.1;proto=http, for=10.0.0.1", "192.0.2.1"),
        (
            "for=\"[2001:db8::1]:4711\";host=\"a,b;for=1.1.1.1\"",
            "2001:db8::1",
        ),
        (
            "proto=http;host=\"x\\\",for=1.1.1.1\";for=192.0.2.3",
            "192.0.2.3",
        ),
        ("for=_hidden, for=10.0.0.1", "10.0.0.1"),
        ("for=unknown", PEER),
        ("by=192.0.2.1", PEER),
        // The proxy has added itself behind what its client left open.
        ("for=10.0.0.5;proto=https;x=\", for=192.0.2.9", "192.0.2.9"),
        ("for=\"10.0.0.5, for=192.0.2.9;proto=http", "192.0.2.9"),
        ("x=\"\\\", for=192.0.2.9", "192.0.2.9"),
    ] {
        let seen = client(ReadFields::Forwarded, &format!("Forwarded: {chain}\r\n"));
        assert_eq!(seen, expected, "{chain:?}");
    }
}

#[test]
fn the_kind_that_proxies_do_not_write_is_the_clients_and_says_nothing() {
    let both = "Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n";
    assert_eq!(client(ReadFields::XForwarded, both), "192.0.2.2");
    assert_eq!(client(ReadFields::Forwarded, both), "192.0.2.1");
    assert_eq!(
        client(ReadFields::XForwarded, "Forwarded: for=192.0.2.1\r\n"),
        PEER
    );
    assert_eq!(
        client(ReadFields::Forwarded, "X-Forwarded-For: 192.0.2.1\r\n"),
        PEER
    );
    for (read, expected) in [
        (ReadFields::XForwarded, "http"),
        (ReadFields::Forwarded, "https"),
    ] {
        let request = request("Forwarded: for=192.0.2.1;proto=https\r\n");
        let forwarding = forwarding(read, ForwardedFields::Both);
        assert_eq!(forwarding.scheme(true, &request), expected);
        assert_eq!(forwarding.scheme(false, &request), "http");
    }
}

#[test]
fn what_came_in_one_kind_is_told_in_the_other() {
    let forwarded =
        "Forwarded: for=192.0.2.1;proto=https;host=shop.example, for=\"[fd00::1]:80\"\r\n";
    assert_eq!(
        told(
            ReadFields::Forwarded,
            ForwardedFields::XForwarded,
            forwarded
        ),
        "X-Forwarded-For: 192.0.2.1, fd00::1, 10.9.9.9\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n"
    );
    let x_forwarded = "X-Forwarded-For: 2001:db8::1, bad, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
                       X-Forwarded-Host: shop.example\r\nForwarded: for=6.6.6.6\r\n";
    assert_eq!(
        told(
            ReadFields::XForwarded,
            ForwardedFields::Forwarded,
            x_forwarded
        ),
        "Forwarded: for=\"[2001:db8::1]\";host=\"shop.example\";proto=https, for=unknown, for=10.0.0.1, \
         for=10.9.9.9;host=\"a\";proto=http\r\n"
    );
    // What was left open does not swallow what Weir adds.
    let open = "Forwarded: for=10.0.0.5;x=\", for=192.0.2.9\r\n";
    assert_eq!(
        told(ReadFields::Forwarded, ForwardedFields::Forwarded, open),
        "Forwarded: for=10.0.0.5, for=192.0.2.9, for=10.9.9.9;host=\"a\";proto=http\r\n"
    );
    // Nobody makes a head grow by much.
    let many = format!("X-Forwarded-For: {}x\r\n", "x,".repeat(2_000));
    let out = told(ReadFields::XForwarded, ForwardedFields::Forwarded, &many);
    assert_eq!(out.matches("for=").count(), 33);
    // Quotes and the like cannot leave their place.
    let odd = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: a\";for=1.1.1.1\r\nX-Forwarded-Proto: a;for=1.1.1.1\r\n";
    let out = told(ReadFields::XForwarded, ForwardedFields::Forwarded, odd);
    assert_eq!(
        out,
        "Forwarded: for=192.0.2.1, for=10.9.9.9;host=\"a\";proto=http\r\n"
    );
}
