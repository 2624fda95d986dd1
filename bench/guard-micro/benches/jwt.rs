//! A token that is verified, by algorithm, and one that was verified before.

use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use criterion::{Criterion, criterion_group, criterion_main};
use weir_auth::{Asked, Auth, Authenticator, Cache, Check, MethodConfig, NamedMethod};
use weir_config::{Cx, Span};

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A request with a token.
struct Request(String);

impl Asked for Request {
    fn fields<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        (name == b"authorization")
            .then_some(self.0.as_bytes())
            .into_iter()
    }
    fn method(&self) -> &[u8] {
        b"GET"
    }
    fn scheme(&self) -> &str {
        "https"
    }
    fn host(&self) -> &[u8] {
        b"api.example.com"
    }
    fn path(&self) -> &[u8] {
        b"/"
    }
    fn query(&self) -> Option<&[u8]> {
        None
    }
    fn client(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let byte = |at| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        (0..=chunk.len()).map(move |at| DIGITS[(bits >> (18 - 6 * at)) as usize & 63] as char)
    });
    digits.collect()
}

/// A request with a token for this algorithm, and what knows its key.
fn case(
    algorithm: &str,
    key: &str,
    sign: impl Fn(&[u8]) -> Result<Vec<u8>>,
) -> Result<(Request, Arc<Authenticator>)> {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT","kid":"one"}}"#);
    let claims = format!(
        r#"{{"iss":"https://id.example.com/","aud":"api","sub":"0b7c2f3e-6b1d-4f62-9d0c-6a8f6e0c3d11","iat":{NOW},"exp":{},"scope":"orders:read orders:write","plan":"gold"}}"#,
        NOW + 600
    );
    let text = [header, claims]
        .map(|part| base64url(part.as_bytes()))
        .join(".");
    let signature = base64url(&sign(text.as_bytes())?);
    let request = Request(format!("Bearer {text}.{signature}"));

    let config = format!(
        "[{{ jwt: {{ {key}, issuer: 'https://id.example.com/', audience: api, plan: plan }} }}]"
    );
    let mut cx = Cx::from_text("weir.yaml", &config, &|_| None);
    let methods = cx.decode::<Vec<MethodConfig>>();
    let methods = cx
        .finish(methods)
        .map_err(|problems| problems.to_string())?;
    let named = methods.value.into_iter().map(|config| NamedMethod {
        policy: "bench".into(),
        config,
        span: Span::NONE,
    });
    let mut cx = Cx::default();
    let named: Vec<NamedMethod> = named.collect();
    let auth = Auth::offline().authenticator(&named, false, &[], &mut cx);
    let auth = cx.finish(auth).map_err(|problems| problems.to_string())?;
    Ok((request, auth.value))
}

/// What a config says of an issuer whose only key is this one.
fn key_set(folder: &Path, members: &str) -> Result<String> {
    let digits = members.len();
    let path = folder.join(format!("{digits}.json"));
    std::fs::write(&path, format!(r#"{{"keys":[{{"kid":"one",{members}}}]}}"#))?;
    Ok(format!("jwks: 'file:{}'", path.display()))
}

fn cases(folder: &Path) -> Result<Vec<(&'static str, Request, Arc<Authenticator>)>> {
    let random = SystemRandom::new();
    let mut cases = Vec::new();
    let mut add = |name, case: Result<(Request, Arc<Authenticator>)>| {
        case.map(|(request, auth)| cases.push((name, request, auth)))
    };

    let secret = format!("secret: {}", std::str::from_utf8(SECRET)?);
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let sign = |text: &[u8]| Ok(hmac::sign(&key, text).as_ref().to_vec());
    add("HS256", case("HS256", &secret, sign))?;

    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    // RFC 8017, A.1.1: a sequence of two integers, the first of 257 octets.
    let modulus = base64url(&pair.public_key().as_ref()[9..265]);
    let keys = key_set(
        folder,
        &format!(r#""kty":"RSA","n":"{modulus}","e":"AQAB""#),
    )?;
    let sign = |text: &[u8]| {
        let mut signed = vec![0; pair.public_modulus_len()];
        pair.sign(&signature::RSA_PKCS1_SHA256, &random, text, &mut signed)?;
        Ok(signed)
    };
    add("RS256, 2048 bits", case("RS256", &keys, sign))?;

    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (base64url(x), base64url(y));
    let keys = key_set(
        folder,
        &format!(r#""kty":"EC","crv":"P-256","x":"{x}","y":"{y}""#),
    )?;
    let sign = |text: &[u8]| Ok(pair.sign(&random, text)?.as_ref().to_vec());
    add("ES256", case("ES256", &keys, sign))?;

    let pair = Ed25519KeyPair::generate()?;
    let x = base64url(pair.public_key().as_ref());
    let keys = key_set(folder, &format!(r#""kty":"OKP","crv":"Ed25519","x":"{x}""#))?;
    let sign = |text: &[u8]| Ok(pair.sign(text).as_ref().to_vec());
    add("EdDSA", case("EdDSA", &keys, sign))?;
    Ok(cases)
}

fn tokens(c: &mut Criterion) {
    let folder = std::env::temp_dir().join(format!("weir-bench-jwt-{}", std::process::id()));
    let cases = std::fs::create_dir_all(&folder)
        .map_err(Into::into)
        .and_then(|()| cases(&folder));
    let cases = match cases {
        Ok(cases) => cases,
        Err(error) => panic!("{error}"),
    };
    for (name, request, auth) in &cases {
        let passes = |cache: &mut Cache| {
            matches!(auth.check(black_box(request), cache, NOW), Check::Pass(_))
        };
        assert!(passes(&mut Cache::new(1)), "{name}");
        c.bench_function(&format!("verified/{name}"), |b| {
            b.iter(|| passes(&mut Cache::new(1)));
        });
        let mut cache = Cache::new(1_000);
        c.bench_function(&format!("known/{name}"), |b| b.iter(|| passes(&mut cache)));
    }
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        eprintln!("{}: {error}", folder.display());
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000))
        .sample_size(20);
    targets = tokens
}
criterion_main!(benches);
