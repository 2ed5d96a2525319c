//! HTTPS: a connection's bytes in TLS 1.2 or 1.3, by rustls over the runtime's socket.
//!
//! In: PEM files of a certificate chain and its key; sockets that were accepted. Out: the same
//! connection, decrypted, as `http` serves it. A handshake that does not come to its end goes the
//! way of every silent connection. The files can be read again while the server runs: connections
//! that are accepted from then on get the certificate that was read, others keep theirs.

use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::pki_types::pem::PemObject;
use futures_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use futures_rustls::rustls::{ServerConfig, version};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Certificate and key of the process. Cloning gives another handle.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    /// Grows with each reading; a core locks only when it has moved.
    version: AtomicU64,
    read: Mutex<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One sentence that names the file at fault.
    pub fn load(certificate: &Path, key: &Path) -> Result<Tls, String> {
        Ok(Tls(Arc::new(Inner {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            version: AtomicU64::new(0),
            read: Mutex::new(read(certificate, key)?),
        })))
    }

    /// Reads the files again; what was read before stays when they are no pair.
    ///
    /// # Errors
    /// As `load`.
    pub fn reload(&self) -> Result<(), String> {
        let read = read(&self.0.certificate, &self.0.key)?;
        *self.0.read.lock().unwrap_or_else(PoisonError::into_inner) = read;
        self.0.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn current(&self) -> (u64, Arc<ServerConfig>) {
        // The number first: at worst the same certificate is taken twice.
        let version = self.0.version.load(Ordering::Acquire);
        let read = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        (version, Arc::clone(&read))
    }
}

/// A core's copy of the certificate. Cloning gives another handle.
#[derive(Clone)]
pub(super) struct Copy {
    source: Tls,
    taken: Rc<RefCell<(u64, Arc<ServerConfig>)>>,
}

impl Copy {
    pub fn of(source: Tls) -> Copy {
        let taken = Rc::new(RefCell::new(source.current()));
        Copy { source, taken }
    }

    /// What a connection that begins now is greeted with.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut taken = self.taken.borrow_mut();
        if taken.0 != self.source.0.version.load(Ordering::Acquire) {
            *taken = self.source.current();
        }
        TlsAcceptor::from(taken.1.clone())
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let at = |path: &Path, error: String| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| at(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(at(certificate, "no certificate in it".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| at(key, error.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| at(key, error.to_string()))?;
    Ok(Arc::new(config))
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

    #[test]
    fn a_core_takes_what_was_read_last_and_only_pairs_count() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let first = make();
        std::fs::write(&certificate, first.cert.pem()).unwrap();
        std::fs::write(&key, first.signing_key.serialize_pem()).unwrap();
        let tls = Tls::load(&certificate, &key).unwrap();
        let copy = Copy::of(tls.clone());
        let taken = || {
            let _ = copy.acceptor();
            copy.taken.borrow().1.clone()
        };
        let before = taken();
        let second = make();
        std::fs::write(&certificate, second.cert.pem()).unwrap();
        let error = tls.reload().unwrap_err();
        assert!(error.starts_with(&key.display().to_string()), "{error}");
        assert!(Arc::ptr_eq(&before, &taken()));
        std::fs::write(&key, second.signing_key.serialize_pem()).unwrap();
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&before, &taken()));
    }
}
