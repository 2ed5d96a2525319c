//! HTTPS: a connection's bytes in TLS 1.2 or 1.3, by rustls over the runtime's socket.
//!
//! In: PEM files of a certificate chain and its key; sockets that were accepted. Out: the same
//! connection, decrypted, as `http` serves it. A handshake that does not come to its end goes the
//! way of every silent connection.

use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::pki_types::pem::PemObject;
use futures_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::{ServerConfig, version};
use std::path::Path;
use std::sync::Arc;

/// What a core needs to speak TLS. Cloning gives another handle.
#[derive(Clone)]
pub struct Tls(pub(super) TlsAcceptor);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One sentence that names the file at fault.
    pub fn load(certificate: &Path, key: &Path) -> Result<Tls, String> {
        let at = |path: &Path, error: String| format!("{}: {error}", path.display());
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| at(certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(at(certificate, "no certificate in it".to_owned()));
        }
        let secret =
            PrivateKeyDer::from_pem_file(key).map_err(|error| at(key, error.to_string()))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| at(key, error.to_string()))?;
        Ok(Tls(TlsAcceptor::from(Arc::new(config))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_hold_nothing_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        let missing = Tls::load(&certificate, &key).err().unwrap();
        assert!(missing.starts_with(&certificate.display().to_string()), "{missing}");
        std::fs::write(&certificate, "nothing").unwrap();
        let empty = Tls::load(&certificate, &key).err().unwrap();
        assert!(empty.ends_with("c.pem: no certificate in it"), "{empty}");
    }
}
