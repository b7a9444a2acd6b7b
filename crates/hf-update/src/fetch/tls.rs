//! TLS by rustls with ring. Whose certificates count is the system's or the owner's choice; none are compiled in.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// What is needed for TLS, read when it is needed first.
#[derive(Debug)]
pub(super) struct Tls {
    roots: Option<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

/// Where systems keep the authorities that they trust.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Tls {
    pub(super) fn new(roots: Option<PathBuf>, client: Option<(PathBuf, PathBuf)>) -> Self {
        Self { roots, client, config: OnceLock::new() }
    }

    /// Returns the client's side of a connection to a host.
    pub(super) fn connection(&self, host: &str) -> Result<ClientConnection, String> {
        let config = self.config.get_or_init(|| self.build()).clone()?;
        let name = ServerName::try_from(host.to_owned()).map_err(|err| err.to_string())?;
        ClientConnection::new(config, name).map_err(|err| err.to_string())
    }

    fn build(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|err| err.to_string())?
            .with_root_certificates(self.root_store()?);
        let config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let chain = certificates_of(certificates)?;
                let secret = PrivateKeyDer::from_pem_file(key)
                    .map_err(|err| format!("{}: {err}", key.display()))?;
                builder.with_client_auth_cert(chain, secret).map_err(|err| err.to_string())?
            }
        };
        Ok(Arc::new(config))
    }

    fn root_store(&self) -> Result<RootCertStore, String> {
        let usual = || SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.is_file());
        let file = self.roots.clone().or_else(usual).ok_or(
            "this system has no file of trusted authorities: install ca-certificates, or name one",
        )?;
        let mut store = RootCertStore::empty();
        // Some that a system trusts may be of an age that cannot be read; they issue nothing that matters.
        store.add_parsable_certificates(certificates_of(&file)?);
        match store.is_empty() {
            true => Err(format!("{} holds no certificate", file.display())),
            false => Ok(store),
        }
    }
}

fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read =
        CertificateDer::pem_file_iter(path).map_err(|err| format!("{}: {err}", path.display()))?;
    read.map(|item| item.map_err(|err| format!("{}: {err}", path.display()))).collect()
}
