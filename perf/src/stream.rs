//! A connection, plain or in TLS.
//!
//! In: bytes to send. Out: bytes that came; none when the server has closed its half. TLS is
//! rustls' state machine between the socket and the caller, its records in vectors.

use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::io::{Read, Write};
use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::Arc;

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 256 << 10;

/// A connection.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<Session>),
}

/// A connection in TLS.
pub struct Session {
    socket: TcpStream,
    tls: ClientConnection,
    /// Text that came and was not asked for yet.
    plain: Vec<u8>,
}

impl Stream {
    /// Connects, and greets in TLS when there is a configuration.
    ///
    /// # Errors
    /// Nobody listens there; the greeting failed.
    pub async fn connect(address: &str, tls: Option<Arc<ClientConfig>>) -> Result<Stream, String> {
        let stream = dial(address).await?;
        let Some(config) = tls else { return Ok(Stream::Plain(stream)) };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned();
        let host = ServerName::try_from(host).map_err(|error| format!("{address}: {error}"))?;
        let mut tls = ClientConnection::new(config, host).map_err(|error| error.to_string())?;
        // A request is turned into records whole, so that it takes one call of the kernel.
        tls.set_buffer_limit(None);
        let mut session = Session { socket: stream, tls, plain: Vec::new() };
        session.flush().await?;
        while session.tls.is_handshaking() {
            if !session.fill().await? {
                return Err(format!("{address} closed the connection during the TLS greeting"));
            }
        }
        Ok(Stream::Tls(Box::new(session)))
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        match self {
            Stream::Plain(stream) => send(stream, bytes).await,
            Stream::Tls(session) => {
                session.tls.writer().write_all(&bytes).map_err(|error| error.to_string())?;
                session.flush().await
            }
        }
    }

    /// What came next; empty at the end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn read(&mut self) -> Result<Vec<u8>, String> {
        match self {
            Stream::Plain(stream) => receive(stream).await,
            Stream::Tls(session) => {
                while session.plain.is_empty() && session.fill().await? {}
                Ok(std::mem::take(&mut session.plain))
            }
        }
    }

    /// Closes our half and waits for the server to close its half, which one without answers does
    /// when everything is taken in.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn finish(mut self) -> Result<(), String> {
        match &mut self {
            Stream::Plain(stream) => stream.shutdown().await,
            Stream::Tls(session) => session.socket.shutdown().await,
        }
        .map_err(|error| error.to_string())?;
        while self.read().await.is_ok_and(|bytes| !bytes.is_empty()) {}
        Ok(())
    }
}

/// How servers are known: by the certificates of a file, or not at all.
///
/// # Errors
/// The file cannot be read or has no certificate.
pub fn config(trusted: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let config = match trusted {
        Some(path) => {
            let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let mut roots = rustls::RootCertStore::empty();
            for found in CertificateDer::pem_file_iter(path).map_err(|e| fail(&e))? {
                let certificate = found.map_err(|error| fail(&error))?;
                roots.add(certificate).map_err(|error| fail(&error))?;
            }
            if roots.is_empty() {
                return Err(fail(&"no certificate in it"));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => {
            let anyone = Arc::new(Anyone(provider));
            builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
        }
    };
    Ok(Arc::new(config))
}

/// Connects to the first of a name's addresses that answers.
async fn dial(address: &str) -> Result<TcpStream, String> {
    let fail = |error: std::io::Error| format!("{address} does not answer: {error}");
    let mut last = std::io::Error::other("it has no address");
    for found in address.to_socket_addrs().map_err(fail)? {
        match TcpStream::connect_addr(found).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(fail)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(fail(last))
}

async fn send(stream: &mut TcpStream, bytes: Vec<u8>) -> Result<(), String> {
    let (done, _) = stream.write_all(bytes).await;
    done.map_err(|error| format!("the server closed the connection: {error}"))?;
    Ok(())
}

async fn receive(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let (read, bytes) = stream.read(Vec::with_capacity(READ_BYTES)).await;
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
}

impl Session {
    /// Sends the records that are ready.
    async fn flush(&mut self) -> Result<(), String> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).map_err(|error| error.to_string())?;
        }
        if records.is_empty() { Ok(()) } else { send(&mut self.socket, records).await }
    }

    /// Takes in records and their text; whether any came.
    async fn fill(&mut self) -> Result<bool, String> {
        let bytes = receive(&mut self.socket).await?;
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            self.tls.read_tls(&mut left).map_err(|error| error.to_string())?;
            self.tls.process_new_packets().map_err(|error| format!("TLS: {error}"))?;
            // "Would block" says that nothing is left; it comes after what was read.
            let _ = self.tls.reader().read_to_end(&mut self.plain);
        }
        self.flush().await?;
        Ok(!bytes.is_empty())
    }
}

/// Takes any certificate: for servers on the tester's own machine.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
