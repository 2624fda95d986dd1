//! TLS to a store: rustls on aws-lc-rs, TLS 1.2 or 1.3.
//!
//! Files are read when a connection is opened and they have changed since the last one, so a certificate that was renewed
//! in place counts from the next connection on, without a reload. One that cannot be used then is why there is no
//! connection, which is told like any other reason.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use weir_config::fingerprint;

/// No file of certificates is larger.
const MOST_BYTES: u64 = 16 << 20;

/// The files that say whom to believe and who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Authorities, in place of those that the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// Makes TLS of TCP.
pub(crate) struct Tls {
    files: TlsFiles,
    /// Whom certificates must be for, where the server does not say itself.
    server_name: Option<Box<str>>,
    /// The state of the files that it was made of.
    made: Mutex<Option<(u64, TlsConnector)>>,
}

impl Tls {
    pub(crate) fn new(files: TlsFiles, server_name: Option<&str>) -> Self {
        Self {
            files,
            server_name: server_name.map(Into::into),
            made: Mutex::default(),
        }
    }

    /// Shakes hands. The certificate must be for the hostname that the server was announced with, or else for the one in
    /// the config, or else for where it was found.
    pub(crate) async fn connect(
        &self,
        found_at: &str,
        announced: Option<&str>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = announced
            .or(self.server_name.as_deref())
            .unwrap_or(found_at);
        let server = server_name(name)?;
        self.connector()?
            .connect(server, stream)
            .await
            .map_err(|why| {
                let hint = match is_another_name(&why) {
                    false => "",
                    true if announced.is_some() => " (the Cluster announces this name)",
                    true => " (see `server_name`)",
                };
                format!("no TLS with {name}: {}{hint}", explain(&why))
            })
    }

    fn connector(&self) -> Result<TlsConnector, String> {
        let identity = self.files.identity.as_ref();
        let paths = [
            self.files.ca.as_deref(),
            identity.map(|(cert, _)| cert.as_path()),
            identity.map(|(_, key)| key.as_path()),
        ];
        let state = fingerprint(paths.into_iter().flatten());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, connector)) = &*made
            && *of == state
        {
            return Ok(connector.clone());
        }
        let connector = TlsConnector::from(Arc::new(self.client_config()?));
        *made = Some((state, connector.clone()));
        Ok(connector)
    }

    fn client_config(&self) -> Result<ClientConfig, String> {
        let roots = match &self.files.ca {
            Some(path) => authorities(path)?,
            None => system_roots()?,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|why| why.to_string())?
            .with_root_certificates(roots);
        Ok(match &self.files.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let pair = pair(certificates(cert)?, private_key(key)?)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
            }
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// A name that a certificate can be for.
pub(crate) fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("`{name}` is not a name that a certificate can be for"))
}

/// The authorities in a PEM file.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|why| format!("cannot use `{}`: {why}", path.display()))?;
    }
    Ok(store)
}

/// The certificates in a PEM file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let found = found.map_err(|why| format!("cannot use `{}` as PEM: {why}", path.display()))?;
    if found.is_empty() {
        return Err(format!("`{}` holds no certificate", path.display()));
    }
    Ok(found)
}

/// The private key in a PEM file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| {
        format!(
            "`{}` holds no private key: PEM, without a passphrase",
            path.display()
        )
    })
}

/// A certificate with its key, if they belong together.
pub(crate) fn pair(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, String> {
    CertifiedKey::from_der(certificates, key, &provider())
        .map_err(|why| format!("`cert` and `key` do not go together: {why}"))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// What a file holds. Neither a pipe nor a device can make us wait.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |why: &dyn fmt::Display| format!("cannot read `{}`: {why}", path.display());
    let metadata = std::fs::metadata(path).map_err(|why| unreadable(&why))?;
    if !metadata.is_file() {
        return Err(unreadable(&"it is not a file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|why| unreadable(&why))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(unreadable(&"it holds more than 16 MiB"));
    }
    Ok(bytes)
}

fn system_roots() -> Result<RootCertStore, String> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // A system's store may hold certificates that no longer parse; the others count.
    store.add_parsable_certificates(loaded.certs);
    if store.is_empty() {
        return Err(
            "this system has no root certificates (the package is mostly called \
             ca-certificates); or name some with `ca`"
                .to_owned(),
        );
    }
    Ok(store)
}

fn cause(why: &io::Error) -> Option<&Error> {
    why.get_ref()?.downcast_ref()
}

fn is_another_name(why: &io::Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(
        cause(why),
        Some(Error::InvalidCertificate(
            NotValidForName | NotValidForNameContext { .. }
        ))
    )
}

/// What went wrong, in words that lead to the key that mends it.
pub(crate) fn explain(why: &io::Error) -> String {
    match cause(why) {
        // A bad signature is that of another authority of the same name.
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "its certificate comes from an authority that is not trusted (see `ca`)".to_owned(),
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "it wants a certificate from us (see `cert` and `key`)".to_owned()
        }
        Some(Error::InvalidMessage(_)) => "what it answers is not TLS".to_owned(),
        _ => why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use weir_testkit::TempDir;

    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_told() {
        let dir = TempDir::new("tls-files");
        let empty = dir.write("empty.pem", "nothing\n");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let broken = dir.write("broken.pem", broken);
        let missing = dir.path().join("missing.pem");
        for (path, said) in [
            (&empty, "holds no certificate"),
            (&broken, "cannot use"),
            (&missing, "cannot read"),
            (&dir.path().to_owned(), "not a file"),
        ] {
            let why = authorities(path).expect_err("unusable");
            assert!(why.contains(said), "{why}");
            assert!(why.contains(&path.display().to_string()), "{why}");
        }
        let why = private_key(&empty).expect_err("unusable");
        assert!(why.contains("holds no private key"), "{why}");
    }
}
