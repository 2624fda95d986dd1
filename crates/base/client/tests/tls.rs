//! TLS: whom the client believes, and whom not.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use weir_client::{Client, ClientError, Request, Response, Roots, RootsError, Url};
use weir_testkit::{Origin, Step, TempDir, send};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
        .expect("a certificate")
}

fn certificate(names: &[&str], expired: bool, authority: &Authority) -> ServerConfig {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    if expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().expect("a key");
    let signed = params.signed_by(&key, authority).expect("a certificate");
    let chain: Vec<CertificateDer<'static>> = vec![signed.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they belong together")
}

/// A server that answers every connection's requests with 200, and its port.
async fn serve(config: ServerConfig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

fn roots(authority: &Authority) -> Roots {
    let dir = TempDir::new("roots");
    let path = dir.write("ca.pem", authority.pem());
    Roots::from_file(path).expect("roots")
}

async fn get(client: &Client, url: String) -> Result<Response, ClientError> {
    let url = Url::parse(&url).expect("a URL");
    client
        .send(Request::get(url), Duration::from_secs(10), 1024)
        .await
}

fn refused(answer: Result<Response, ClientError>) -> String {
    match answer {
        Err(ClientError::Tls { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_by_the_given_authority_is_believed() {
    let authority = authority();
    let port = serve(certificate(&["localhost", "127.0.0.1"], false, &authority)).await;
    let client = Client::new(roots(&authority));
    for host in ["localhost", "127.0.0.1"] {
        for _ in 0..2 {
            let answer = get(&client, format!("https://{host}:{port}/")).await;
            assert_eq!(&answer.expect("an answer").body[..], b"secret");
        }
    }
}

#[tokio::test]
async fn any_other_certificate_is_refused() {
    let (ours, other) = (authority(), authority());
    let client = Client::new(roots(&ours));
    let port = serve(certificate(&["localhost"], false, &other)).await;
    let why = refused(get(&client, format!("https://localhost:{port}/")).await);
    assert!(why.contains("BadSignature"), "{why}");
    let port = serve(certificate(&["other.example"], false, &ours)).await;
    let why = refused(get(&client, format!("https://localhost:{port}/")).await);
    assert!(why.contains("not valid for name"), "{why}");
    let port = serve(certificate(&["localhost"], true, &ours)).await;
    let why = refused(get(&client, format!("https://localhost:{port}/")).await);
    assert!(why.contains("expired"), "{why}");
    // Whatever the system trusts, it is not that.
    let port = serve(certificate(&["localhost"], false, &ours)).await;
    let answer = get(&Client::default(), format!("https://localhost:{port}/")).await;
    assert!(matches!(answer, Err(ClientError::Tls { .. })), "{answer:?}");
}

#[tokio::test]
async fn plain_text_is_no_tls() {
    let origin = Origin::script([
        Step::Read(1),
        send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    ]);
    let answer = get(
        &Client::new(roots(&authority())),
        format!("https://{}/", origin.addr()),
    )
    .await;
    assert!(matches!(answer, Err(ClientError::Tls { .. })), "{answer:?}");
}

#[test]
fn a_file_without_certificates_gives_no_roots() {
    let dir = TempDir::new("no-roots");
    let empty = dir.write("empty.pem", "nothing\n");
    assert!(matches!(
        Roots::from_file(empty),
        Err(RootsError::Empty { .. })
    ));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = dir.write("broken.pem", broken);
    assert!(matches!(
        Roots::from_file(broken),
        Err(RootsError::File { .. })
    ));
    let missing = dir.path().join("missing.pem");
    assert!(matches!(
        Roots::from_file(missing),
        Err(RootsError::File { .. })
    ));
}
