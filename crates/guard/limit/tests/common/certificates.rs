//! Authorities and certificates for servers and clients, made anew for each test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use weir_testkit::TempDir;

/// An authority, and the files that it has written.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let dir = TempDir::new("authority");
        // Its own name: one that signed what bears its name would seem to have signed itself.
        params.distinguished_name = named(&dir.path().display().to_string());
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        dir.write("ca.pem", issuer.pem());
        Self { issuer, dir }
    }

    /// The file of its own certificate.
    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// Writes `NAME.pem` and `NAME.key`, for these hosts.
    pub(crate) fn issue(&self, name: &str, hosts: &[&str]) -> [String; 2] {
        self.write(name, hosts, (2020, 2080))
    }

    /// The same, but nobody may believe it any more.
    pub(crate) fn issue_expired(&self, name: &str, hosts: &[&str]) -> [String; 2] {
        self.write(name, hosts, (2020, 2021))
    }

    fn write(&self, name: &str, hosts: &[&str], years: (i32, i32)) -> [String; 2] {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        params.distinguished_name = named(name);
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        let files = [format!("{name}.pem"), format!("{name}.key")];
        self.dir.write(&files[0], signed.pem());
        self.dir.write(&files[1], key.serialize_pem());
        files.map(|file| self.path(&file))
    }

    fn path(&self, file: &str) -> String {
        self.dir.path().join(file).display().to_string()
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// What makes a Redis speak TLS with this certificate; `wants_clients` if clients must have one of this authority, too.
pub(crate) fn redis_arguments(
    ca: &str,
    [cert, key]: &[String; 2],
    wants_clients: bool,
) -> Vec<String> {
    let wants = if wants_clients { "yes" } else { "no" };
    [
        ["--tls-cert-file", cert],
        ["--tls-key-file", key],
        ["--tls-ca-cert-file", ca],
        ["--tls-auth-clients", wants],
    ]
    .concat()
    .into_iter()
    .map(ToOwned::to_owned)
    .collect()
}
