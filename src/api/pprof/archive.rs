//! `/debug/pprof/all`: every profile and the tables of SHOW as one `profiles.tar.gz`.
//!
//! In: whether processor time is wanted, and for how long. Out: for each profile `NAME.pb.gz` for
//! `go tool pprof` and `NAME.txt` for people, then `shards.txt`, `stats.txt`, `diagnostics.txt`.
//! A tar file is, for each member, 512 bytes of head and its bytes, both filled up to 512, and at
//! the end 1,024 zeros; all numbers in the head are octal texts.

use super::{Kind, attached, broken, busy, failure, on_thread, seconds, tables, written};
use crate::api::front::Front;
use crate::api::reply::Reply;
use crate::api::routes::Head;
use crate::env::Env;
use crate::profile::cpu::{self, Claim};
use crate::profile::encode::gzip;
use crate::profile::symbols::Symbols;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Time of looking at processor time when a request does not say (s).
const SECONDS: i64 = 30;

/// A file of the archive.
type Member = (String, Vec<u8>);

/// Answers with the archive.
pub(super) async fn all<E: Env>(front: &Rc<Front<E>>, head: &Head) -> Reply {
    let time = match processor_time(head) {
        Ok(time) => time,
        Err(text) => return failure(StatusCode::BAD_REQUEST, &text),
    };
    let cpu = match time {
        None => None,
        Some(time) => match cpu::claim() {
            Some(claim) => Some((claim, time)),
            None => return busy(),
        },
    };
    let now = front.env.now_wall();
    let mut texts = Vec::new();
    let made = on_thread(&**front, "all", move |stop| profiles(cpu, now, stop));
    let profiles = match made.await.flatten() {
        Ok(profiles) => profiles,
        Err(error) => return broken(&error),
    };
    for name in ["shards", "stats", "diagnostics"] {
        let text = tables::table(front, &format!("SHOW {}", name.to_uppercase())).await;
        texts.push((format!("{name}.txt"), text.into_bytes()));
    }
    let packed =
        on_thread(&**front, "tar", move |_| gzip(&tar(profiles.into_iter().chain(texts), now)));
    match packed.await {
        Ok(bytes) => {
            attached(HeaderValue::from_static("application/gzip"), "profiles.tar.gz", bytes)
        }
        Err(error) => broken(&error),
    }
}

/// How long processor time is looked at; `None`: not at all.
fn processor_time(head: &Head) -> Result<Option<Duration>, String> {
    match head.params.get("cpu") {
        "" | "false" => Ok(None),
        // A time of its own, as later versions of InfluxDB have it.
        text => match text.strip_suffix('s').filter(|number| number.parse::<i64>().is_ok()) {
            Some(number) => seconds(number, SECONDS).map(Some),
            None => seconds(head.params.get("seconds"), SECONDS).map(Some),
        },
    }
}

fn profiles(
    cpu: Option<(Claim, Duration)>,
    now: i64,
    stop: &Receiver<()>,
) -> io::Result<Vec<Member>> {
    let mut all = Vec::new();
    if let Some((claim, time)) = cpu {
        all.push(("cpu", claim.run(time, stop)?));
    }
    let mut symbols = Symbols::default();
    for kind in Kind::ALL {
        // An allocator that notes nothing leaves its profiles out.
        all.extend(kind.take(&mut symbols).ok().map(|profile| (kind.name(), profile)));
    }
    let mut members = Vec::new();
    for (name, profile) in all {
        for (ending, as_text) in [("pb.gz", false), ("txt", true)] {
            let bytes = written(name, &profile, &mut symbols, (as_text, now));
            members.push((format!("{name}.{ending}"), bytes));
        }
    }
    Ok(members)
}

fn tar(members: impl IntoIterator<Item = Member>, now_ns: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in members {
        out.extend_from_slice(&header(&name, bytes.len(), now_ns.div_euclid(1_000_000_000)));
        out.extend_from_slice(&bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn header(name: &str, bytes: usize, time: i64) -> [u8; 512] {
    let mut head = [0; 512];
    let mut put = |at: usize, text: &str| {
        head.iter_mut().skip(at).zip(text.bytes()).for_each(|(into, byte)| *into = byte);
    };
    put(0, name);
    put(100, "0000600");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{bytes:011o}"));
    put(136, &format!("{:011o}", time.max(0)));
    // The sum is made with blanks in its own place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = head.iter().copied().map(u32::from).sum();
    let text = format!("{sum:06o}\0 ");
    head.iter_mut().skip(148).zip(text.bytes()).for_each(|(into, byte)| *into = byte);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_whole_blocks_with_sums() {
        let bytes = tar([("a.txt".to_owned(), b"hello".to_vec())], 1_000_000_000);
        assert_eq!(bytes.len(), 512 + 512 + 1024);
        assert_eq!(&bytes[..6], b"a.txt\0");
        assert_eq!(&bytes[124..136], b"00000000005\0");
        assert_eq!(&bytes[512..518], b"hello\0");
        let mut plain = bytes[..512].to_vec();
        plain[148..156].fill(b' ');
        let sum: u32 = plain.into_iter().map(u32::from).sum();
        assert_eq!(&bytes[148..156], format!("{sum:06o}\0 ").as_bytes());
    }
}
