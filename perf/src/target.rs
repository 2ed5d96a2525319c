//! The server under test: where it is, as whom it is spoken to, which process it is.
//!
//! In: flags. Out: connections.

use crate::http::Client;
use crate::proc::{self, Usage};
use crate::stream::{self, Stream};
use base64::Engine;
use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;

/// Flags that say where the server is.
#[derive(Clone, clap::Args)]
pub struct Target {
    /// Address of the server's listener.
    #[arg(long, default_value = "127.0.0.1:8086")]
    pub address: String,
    /// Database of /write and /query.
    #[arg(long, default_value = "load")]
    pub db: String,
    /// NAME:PASSWORD for HTTP.
    #[arg(long)]
    user: Option<String>,
    /// Speak TLS and trust the certificates of this PEM file.
    #[arg(long)]
    tls_ca: Option<PathBuf>,
    /// Speak TLS and take any certificate.
    #[arg(long, conflicts_with = "tls_ca")]
    tls_insecure: bool,
    /// Process of the server, for CPU-seconds, memory and bytes written.
    #[arg(long)]
    pub pid: Option<u32>,
    /// The TLS configuration, made at the first connection.
    #[arg(skip)]
    tls: OnceCell<Arc<rustls::ClientConfig>>,
}

impl Target {
    /// A connection.
    ///
    /// # Errors
    /// Nobody listens there; the file of certificates is no good.
    pub async fn connect(&self) -> Result<Stream, String> {
        let tls = match (&self.tls_ca, self.tls_insecure, self.tls.get()) {
            (None, false, _) => None,
            (.., Some(made)) => Some(made.clone()),
            (trusted, ..) => {
                let config = stream::config(trusted.as_deref())?;
                Some(self.tls.get_or_init(|| config).clone())
            }
        };
        Stream::connect(&self.address, tls).await
    }

    /// A connection that speaks HTTP.
    ///
    /// # Errors
    /// As `connect`.
    pub async fn client(&self) -> Result<Client, String> {
        let mut headers = format!("Host: {}\r\n", self.address);
        if let Some(user) = &self.user {
            let word = base64::engine::general_purpose::STANDARD.encode(user);
            headers += &format!("Authorization: Basic {word}\r\n");
        }
        Ok(Client::new(self.connect().await?, headers))
    }

    /// What the server's process has used so far, when it is known.
    ///
    /// # Errors
    /// There is no such process, or it is another user's.
    pub fn usage(&self) -> Result<Option<Usage>, String> {
        self.pid.map(proc::read).transpose()
    }
}
