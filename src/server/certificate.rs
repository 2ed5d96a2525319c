//! Certificate and key of the HTTPS listeners: the configured files, or a pair that the server
//! makes for itself at its first start.
//!
//! In: the options, the data folder. Out: what `listen` speaks TLS with. The pair made here is
//! `tls/key.pem` (readable by its owner alone) and `tls/certificate.pem` in the data folder. The
//! certificate is put in its place last and whole, so a start that was cut short leaves none, and
//! the next one makes both anew.

use super::ServeError;
use crate::config::Config;
use crate::listen::tls::Tls;
use crate::logging::{self, Level};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Refuses options that name no certificate at all.
pub fn check(config: &Config) -> Result<(), ServeError> {
    let wanted = !config.https_bind.0.is_empty() && config.https_certificate.is_empty();
    if wanted && !config.https_self_signed {
        let text = "https.bind is set: https.certificate must name a PEM file, or \
                    https.self-signed be true";
        return Err(ServeError::Config(text.to_owned()));
    }
    Ok(())
}

/// Certificate and key, when there is a listener that needs them.
pub fn load(config: &Config, data: &Path, hostname: &str) -> Result<Option<Tls>, ServeError> {
    if config.https_bind.0.is_empty() {
        return Ok(None);
    }
    let (certificate, key) = (&config.https_certificate, &config.https_private_key);
    let (certificate, key) = if certificate.is_empty() {
        own(config, &data.join("tls"), hostname)?
    } else {
        (certificate.into(), if key.is_empty() { certificate.into() } else { key.into() })
    };
    let loaded = Tls::load(&certificate, &key);
    loaded.map(Some).map_err(|error| ServeError::Config(format!("https: {error}")))
}

/// The pair in the data folder; made when there is no certificate.
fn own(config: &Config, dir: &Path, hostname: &str) -> Result<(PathBuf, PathBuf), ServeError> {
    let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
    if !certificate.exists() {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        names.push(hostname.to_owned());
        let bound = config.https_bind.0.iter().map(std::net::SocketAddr::ip);
        names.extend(bound.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
        let (chain, secret) = make(names)
            .map_err(|error| ServeError::Failed(format!("no certificate can be made: {error}")))?;
        let failed = |error: &std::io::Error| ServeError::io(dir.display(), error);
        std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
        place(&key, &secret).map_err(|error| failed(&error))?;
        place(&certificate, &chain).map_err(|error| failed(&error))?;
        let made = || format!("made a self-signed certificate: {}", certificate.display());
        logging::log(Level::Info, "server", made);
    }
    Ok((certificate, key))
}

/// A certificate for these names, and its key, as PEM.
fn make(mut names: Vec<String>) -> Result<(String, String), rcgen::Error> {
    names.retain(|name| !name.is_empty() && name.is_ascii());
    names.sort_unstable();
    names.dedup();
    let mut asked = CertificateParams::new(names)?;
    asked.distinguished_name = DistinguishedName::new();
    asked.distinguished_name.push(DnType::CommonName, "ringtail");
    let key = KeyPair::generate()?;
    Ok((asked.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Puts a file in its place, whole and durable.
fn place(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_pair_is_made_once_and_its_key_is_kept_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let mut layers = Layers::default();
        let text = "[https]\nbind = \"127.0.0.1:0\"\nself-signed = true";
        layers.add_file("f", text).unwrap();
        let config = layers.finish().unwrap();
        assert!(check(&config).is_ok());
        assert!(load(&config, dir.path(), "box.example").unwrap().is_some());
        let read = |name: &str| std::fs::read(dir.path().join("tls").join(name)).unwrap();
        let (certificate, key) = (read("certificate.pem"), read("key.pem"));
        let mode = std::fs::metadata(dir.path().join("tls/key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // A host name that no certificate can hold is left out.
        assert!(load(&config, dir.path(), "böx").unwrap().is_some());
        assert_eq!((read("certificate.pem"), read("key.pem")), (certificate, key.clone()));
        // A start that ended between the two files.
        std::fs::remove_file(dir.path().join("tls/certificate.pem")).unwrap();
        assert!(load(&config, dir.path(), "böx").unwrap().is_some());
        assert_ne!(read("key.pem"), key);
    }
}
