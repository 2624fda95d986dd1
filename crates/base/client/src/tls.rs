//! TLS with those whom Weir asks: rustls on aws-lc-rs, TLS 1.2 or 1.3, HTTP/1.1 by ALPN.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whose signatures under a certificate count.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// Those that the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    #[default]
    System,
    /// Those in one PEM file, and no others.
    Only(Pem),
}

/// Certificates that were read from a PEM file.
#[derive(Clone, Debug)]
pub struct Pem(Arc<RootCertStore>);

/// Why a file gives no roots.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// It cannot be read, or is no PEM.
    #[error("cannot read certificates from `{}`: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// It is PEM, but holds no certificate.
    #[error("`{}` holds no certificate", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Roots {
    /// The certificates in a PEM file.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, RootsError> {
        let path = path.into();
        let unreadable = |why: String| RootsError::File {
            path: path.clone(),
            why,
        };
        let mut store = RootCertStore::empty();
        let found =
            CertificateDer::pem_file_iter(&path).map_err(|error| unreadable(error.to_string()))?;
        for certificate in found {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            store
                .add(certificate)
                .map_err(|error| unreadable(error.to_string()))?;
        }
        if store.is_empty() {
            return Err(RootsError::Empty { path });
        }
        Ok(Self::Only(Pem(Arc::new(store))))
    }
}

/// Makes TLS of TCP. The system's roots are read when the first connection needs them: it takes milliseconds, and most
/// never need them.
pub(crate) struct Tls {
    roots: Roots,
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    pub(crate) fn new(roots: Roots) -> Self {
        Self {
            roots,
            connector: OnceCell::new(),
        }
    }

    /// Shakes hands; the server must hold a certificate for `host`.
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| "its name cannot stand in a certificate".to_owned())?;
        let connector = self.connector.get_or_try_init(|| self.connector()).await?;
        connector
            .connect(name, stream)
            .await
            .map_err(|error| error.to_string())
    }

    async fn connector(&self) -> Result<TlsConnector, String> {
        let roots = match &self.roots {
            Roots::Only(pem) => Arc::clone(&pem.0),
            Roots::System => tokio::task::spawn_blocking(system_roots)
                .await
                .map_err(|error| error.to_string())??,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn system_roots() -> Result<Arc<RootCertStore>, String> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // A system's store may hold certificates that no longer parse; the others count.
    store.add_parsable_certificates(loaded.certs);
    if store.is_empty() {
        let why = loaded
            .errors
            .first()
            .map_or_else(String::new, |error| format!(": {error}"));
        return Err(format!(
            "this system has no root certificates (the package is mostly called ca-certificates){why}"
        ));
    }
    Ok(Arc::new(store))
}
