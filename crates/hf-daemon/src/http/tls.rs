//! TLS for HTTP, with client certificates where a list of authorities is given.
//!
//! Promises: TLS 1.2 and 1.3 by rustls with ring; HTTP/1.1 only is offered.
//! Leaves out: reading certificates anew while it runs.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Makes the configuration of a server. With `clients`, certificates of that file's authorities are
/// accepted; `required` says that nobody may come without one.
///
/// # Errors
/// A file cannot be used; the text says which, and why.
pub(super) fn server(
    certificate: &Path,
    key: &Path,
    clients: Option<&Path>,
    required: bool,
) -> Result<Arc<ServerConfig>, String> {
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key);
    let private = private.map_err(|error| format!("{}: {error}", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| format!("{}: {error}", path.display()))?,
            )
        }
    };
    let config = builder.with_single_cert(chain, private);
    let mut config = config
        .map_err(|error| format!("{} with {}: {error}", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
    let all = CertificateDer::pem_file_iter(path).map_err(told)?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(told)?;
    if all.is_empty() {
        Err(format!("{}: there is no certificate in it", path.display()))
    } else {
        Ok(all)
    }
}
