//! HTTPS over real sockets: the same answers as in the clear, and no harm from those who do not
//! speak TLS. Certificate and key of `tests/data` are for nothing else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{connect, folder, program, start};
use futures_rustls::rustls::SupportedProtocolVersion;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::pki_types::pem::PemObject;
use futures_rustls::rustls::pki_types::{CertificateDer, ServerName};
use futures_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, version};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/localhost.cert.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/localhost.key.pem");
const FLAGS: [&str; 6] =
    ["--https-bind", "127.0.0.1:0", "--https-certificate", CERTIFICATE, "--https-private-key", KEY];

fn ask(address: SocketAddr, request: &str, only: &'static SupportedProtocolVersion) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(CERTIFICATE).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[only])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, connect(address));
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = Vec::new();
    let mut part = [0; 4096];
    // The server may end the connection without a farewell.
    while let Ok(read @ 1..) = stream.read(&mut part) {
        text.extend_from_slice(&part[..read]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn both_versions_speak_http_and_others_do_no_harm() {
    let (_dir, data) = folder();
    let server = start(&data, &FLAGS);
    let line = server.lines.iter().find_map(|line| line.strip_prefix("listening  https "));
    let address: SocketAddr = line.unwrap().parse().unwrap();
    let mut silent = connect(address);
    let mut wrong = connect(address);
    wrong.write_all(b"GET /ping HTTP/1.1\r\n\r\n").unwrap();
    for only in [&version::TLS12, &version::TLS13] {
        let ping = "GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert!(ask(address, ping, only).starts_with("HTTP/1.1 204 No Content\r\n"));
    }
    server.query("", "CREATE DATABASE d");
    let body = "m v=1 1\n".repeat(1000);
    let write = format!(
        "POST /write?db=d HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(ask(address, &write, &version::TLS13).starts_with("HTTP/1.1 204"));
    assert!(server.query("d", "SELECT v FROM m").contains(",1]]"));
    // An alert, then the end.
    let mut rest = Vec::new();
    wrong.read_to_end(&mut rest).unwrap();
    silent.write_all(b"x").unwrap();
}

#[test]
fn a_server_without_its_certificate_does_not_start() {
    let (_dir, data) = folder();
    let output = program()
        .args(["serve", "--https-bind", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("https.certificate must name a PEM file"), "{text}");
    assert_eq!(output.status.code(), Some(2));
}
