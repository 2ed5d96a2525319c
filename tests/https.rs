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

type Stream = StreamOwned<ClientConnection, std::net::TcpStream>;

/// A connection to a server whose certificate is one of these.
fn greet(
    address: SocketAddr,
    trusted: Vec<CertificateDer<'static>>,
    only: &'static SupportedProtocolVersion,
) -> Stream {
    let mut roots = RootCertStore::empty();
    trusted.into_iter().for_each(|one| roots.add(one).unwrap());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[only])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(client, connect(address))
}

fn ask(address: SocketAddr, request: &str, only: &'static SupportedProtocolVersion) -> String {
    let mut stream =
        greet(address, vec![CertificateDer::from_pem_file(CERTIFICATE).unwrap()], only);
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = Vec::new();
    let mut part = [0; 4096];
    // The server may end the connection without a farewell.
    while let Ok(read @ 1..) = stream.read(&mut part) {
        text.extend_from_slice(&part[..read]);
    }
    String::from_utf8(text).unwrap()
}

/// One request on a connection that stays; the first line of the answer, which has no body.
fn ping(stream: &mut Stream) -> String {
    stream.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = Vec::new();
    let mut byte = [0; 1];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn a_server_makes_its_certificate_once() {
    let (_dir, data) = folder();
    let flags = ["--https-bind", "127.0.0.1:0", "--https-self-signed", "true"];
    let certificate = data.join("tls/certificate.pem");
    let mut made = None;
    for _ in 0..2 {
        let server = start(&data, &flags);
        let text = std::fs::read(&certificate).unwrap();
        assert_eq!(made.get_or_insert(text.clone()), &text);
        let trusted = vec![CertificateDer::from_pem_file(&certificate).unwrap()];
        let mut stream = greet(server.door("https"), trusted, &version::TLS13);
        assert_eq!(ping(&mut stream), "HTTP/1.1 204 No Content");
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn files_are_read_again_and_no_request_is_lost() {
    let (dir, data) = folder();
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let pairs: Vec<_> = (0..4)
        .map(|_| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap())
        .collect();
    let place = |number: usize| {
        std::fs::write(&certificate, pairs[number].cert.pem()).unwrap();
        std::fs::write(&key, pairs[number].signing_key.serialize_pem()).unwrap();
    };
    place(0);
    let names = [certificate.to_str().unwrap(), key.to_str().unwrap()];
    let flags = ["--https-bind", "127.0.0.1:0", "--https-certificate", names[0]];
    let server = start(&data, &[&flags[..], &["--https-private-key", names[1]]].concat());
    let address = server.door("https");
    let trusted: Vec<CertificateDer<'static>> =
        pairs.iter().map(|pair| pair.cert.der().clone()).collect();
    let shown = |stream: &Stream| stream.conn.peer_certificates().unwrap()[0].clone();
    let begun = std::sync::Barrier::new(3);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asker = || {
            let mut kept = greet(address, trusted.clone(), &version::TLS12);
            assert_eq!(ping(&mut kept), "HTTP/1.1 204 No Content");
            begun.wait();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let mut fresh = greet(address, trusted.clone(), &version::TLS13);
                assert_eq!(ping(&mut fresh), "HTTP/1.1 204 No Content");
                assert_eq!(ping(&mut kept), "HTTP/1.1 204 No Content");
            }
            assert_eq!(shown(&kept), trusted[0]);
        };
        // They begin before the first change.
        let mut first = greet(address, trusted.clone(), &version::TLS13);
        assert_eq!(ping(&mut first), "HTTP/1.1 204 No Content");
        assert_eq!(shown(&first), trusted[0]);
        let askers: Vec<_> = (0..2).map(|_| scope.spawn(asker)).collect();
        begun.wait();
        for number in 1..pairs.len() {
            place(number);
            server.signal("-HUP");
            let until = std::time::Instant::now() + common::DEADLINE;
            loop {
                let mut fresh = greet(address, trusted.clone(), &version::TLS13);
                assert_eq!(ping(&mut fresh), "HTTP/1.1 204 No Content");
                if shown(&fresh) == trusted[number] {
                    break;
                }
                assert!(std::time::Instant::now() < until, "the certificate stays");
            }
        }
        // What is no pair changes nothing.
        std::fs::write(&certificate, "nothing").unwrap();
        server.signal("-HUP");
        assert_eq!(ping(&mut first), "HTTP/1.1 204 No Content");
        let mut fresh = greet(address, trusted.clone(), &version::TLS13);
        assert_eq!(ping(&mut fresh), "HTTP/1.1 204 No Content");
        assert_eq!(shown(&fresh), trusted[3]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        askers.into_iter().for_each(|asker| asker.join().unwrap());
    });
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
