//! Pickles as senders make them, wrong ones, and bombs.

use super::super::testkit::{Core, Store, counts};
use super::*;
use proptest::prelude::*;

/// A pickle with its length in front.
fn frame(pickle: &[u8]) -> Vec<u8> {
    [&(pickle.len() as u32).to_be_bytes()[..], pickle].concat()
}

/// Decodes frames three times over with one outcome; gives rows, reject names with counts, and
/// whether the stream ended.
fn decode_frames(bytes: &[u8]) -> (Vec<String>, Vec<(&'static str, u64)>, bool) {
    let mut core = Core::tight(3, 0);
    let now = core.now_ns;
    let ms = |ns: i64| if ns == now { "now".to_owned() } else { (ns / 1_000_000).to_string() };
    let (rows, (counts, ends)) = core.thrice(ms, |core| {
        let mut rejects = Rejects::default();
        let (_, ends) = core.decode_pickle(bytes, &[], &mut rejects);
        (counts(&rejects), ends)
    });
    (rows, counts, ends)
}

fn decode_one(pickle: &[u8]) -> (Vec<String>, Vec<(&'static str, u64)>) {
    let (rows, rejects, ends) = decode_frames(&frame(pickle));
    assert!(!ends);
    (rows, rejects)
}

/// `U` with its length.
fn text(text: &str) -> Vec<u8> {
    [&[b'U', text.len() as u8], text.as_bytes()].concat()
}

/// A list of one element; `time` and `value` are opcodes.
fn single(path: &str, time: &[u8], value: &[u8]) -> Vec<u8> {
    [b"\x80\x02]", text(path).as_slice(), time, value, b"\x86\x86a."].concat()
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b' ').collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn what_senders_send() {
    let relay = hex(
        "80 02 5d 71 00 58 01000000 61 71 01 47 41d7fb9980000000 47 3ff8000000000000 86 71 02 86 \
         71 03 61 2e",
    );
    let python2 = [
        b"\x80\x02]q\x01".as_slice(),
        &text("a"),
        b"q\x02J",
        &1_609_459_200i32.to_le_bytes(),
        b"G",
        &1.5f64.to_be_bytes(),
        b"\x86q\x03\x86q\x04a.",
    ]
    .concat();
    let protocol0: &[u8] = b"(lp0\n(Va\np1\n(F1609459200.0\nF1.5\ntp2\ntp3\na.";
    let dropwizard: &[u8] = b"(l(S'a'\n(L1609459200L\nS'1.5'\ntta.";
    let protocol4: &[u8] =
        b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00]\x94\x8c\x01a\x94GA\xd7\xfb\x99\x80\x00\x00\x00\
          G?\xf8\x00\x00\x00\x00\x00\x00\x86\x94\x86\x94a.";
    let lists: &[u8] = b"\x80\x03]](C\x01a](J\x00\x66\xee\x5fG?\xf8\0\0\0\0\0\0eea.";
    let tuples =
        [b"\x80\x02(".as_slice(), &text("a"), b"J\x00\x66\xee\x5fG?\xf8\0\0\0\0\0\0\x86\x86t."]
            .concat();
    for pickle in [&relay[..], &python2, protocol0, dropwizard, protocol4, lists, &tuples] {
        let shown = String::from_utf8_lossy(pickle);
        assert_eq!(
            decode_one(pickle),
            (vec!["a 1609459200000 value=1.5".into()], vec![]),
            "{shown}"
        );
    }
}

#[test]
fn several_elements_through_mark_and_memo() {
    // The second element takes its path from the memo, the third its numbers.
    let pickle = [
        b"\x80\x02]q\x00(".as_slice(),
        &text("a"),
        b"q\x01K\x01K\x02\x86q\x02\x86h\x01K\x02K\x03\x86\x86",
        &text("b;t=v"),
        b"h\x02\x86e.",
    ]
    .concat();
    let rows = vec![
        "a 1000 value=2.0".to_owned(),
        "a 2000 value=3.0".to_owned(),
        "b|t=v 1000 value=2.0".to_owned(),
    ];
    assert_eq!(decode_one(&pickle), (rows.clone(), vec![]));
    let both = [frame(&pickle), frame(&[]), frame(&pickle)].concat();
    assert_eq!(decode_frames(&both), (rows, vec![], false));
}

#[test]
fn numbers_in_every_form() {
    let times: [(&[u8], &str); 8] = [
        (b"K\x05", "5000"),
        (b"I5\n", "5000"),
        (b"L5L\n", "5000"),
        (b"\x8a\x01\x05", "5000"),
        (b"F5.25\n", "5250"),
        (b"\x88", "1000"),
        (b"S' 5.5 '\n", "5500"),
        (b"J\xff\xff\xff\xff", "now"),
    ];
    for (time, shown) in times {
        let (rows, rejects) = decode_one(&single("m", time, b"K\x01"));
        assert_eq!((rows, rejects), (vec![format!("m {shown} value=1.0")], vec![]), "{shown}");
    }
    let values: [(&[u8], &str); 9] = [
        (b"M\x00\x01", "256.0"),
        (b"J\xfe\xff\xff\xff", "-2.0"),
        (b"I01\n", "1.0"),
        (b"\x89", "0.0"),
        (b"\x8b\x02\x00\x00\x00\x00\x80", "-32768.0"),
        (b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01", "1.8446744073709552e19"),
        (b"S'1e3'\n", "1000.0"),
        (b"V2.5\n", "2.5"),
        (b"L-7\n", "-7.0"),
    ];
    for (value, shown) in values {
        let (rows, rejects) = decode_one(&single("m", b"K\x05", value));
        assert_eq!((rows, rejects), (vec![format!("m 5000 value={shown}")], vec![]), "{shown}");
    }
}

#[test]
fn elements_that_are_skipped_and_their_neighbours_that_are_not() {
    let pair =
        |time: &[u8], value: &[u8]| [text("m").as_slice(), time, value, b"\x86\x86"].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (pair(b"K\x01", b"N"), "bad_value"),
        (pair(b"K\x01", b"]"), "bad_value"),
        (pair(b"K\x01", b"}"), "bad_value"),
        (pair(b"K\x01", b"S'x'\n"), "bad_value"),
        (pair(b"K\x01", b"G\x7f\xf8\0\0\0\0\0\0"), "not_finite"),
        (pair(b"K\x01", b"G\xff\xf0\0\0\0\0\0\0"), "not_finite"),
        (pair(b"K\x01", b"S'nan'\n"), "not_finite"),
        (pair(b"K\x01", &[b"L1", "0".repeat(500).as_bytes(), b"L\n"].concat()), "not_finite"),
        (pair(b"G\x7f\xf8\0\0\0\0\0\0", b"K\x01"), "bad_time"),
        (pair(b"N", b"K\x01"), "bad_time"),
        (pair(b"S'N'\n", b"K\x01"), "bad_time"),
        (pair(b"\x8a\x05\0\0\0\0\x10", b"K\x01"), "time_range"),
        ([b"K\x01".as_slice(), b"K\x01K\x01\x86\x86"].concat(), "element_shape"),
        (b"N".to_vec(), "element_shape"),
        (b"K\x07".to_vec(), "element_shape"),
        (b")".to_vec(), "element_shape"),
        ([text("m").as_slice(), b"K\x01\x86"].concat(), "element_shape"),
        ([text("m").as_slice(), b"K\x01K\x01K\x01\x87\x86"].concat(), "element_shape"),
        ([text("").as_slice(), b"K\x01K\x01\x86\x86"].concat(), "empty_path"),
        ([text(";a=b").as_slice(), b"K\x01K\x01\x86\x86"].concat(), "empty_path"),
        ([text("m;a").as_slice(), b"K\x01K\x01\x86\x86"].concat(), "tag_format"),
        ([b"C\x02m\xff".as_slice(), b"K\x01K\x01\x86\x86"].concat(), "not_utf8"),
        (
            [b"X".as_slice(), &70_000u32.to_le_bytes(), &[b'x'; 70_000], b"K\x01K\x01\x86\x86"]
                .concat(),
            "key_too_long",
        ),
    ];
    for (element, reason) in cases {
        let ok = [text("ok").as_slice(), b"K\x01K\x01\x86\x86"].concat();
        let pickle = [b"\x80\x02](".as_slice(), &ok, &element, &ok, b"e."].concat();
        let (rows, rejects) = decode_one(&pickle);
        assert_eq!(rejects, [(reason, 1)], "{element:?}");
        assert_eq!(rows, ["ok 1000 value=1.0"], "{element:?}");
    }
    let (rows, _) = decode_one(&single("a b\n", b"K\x01", b"K\x01"));
    assert_eq!(rows, ["a b\n 1000 value=1.0"], "blanks inside are kept");
}

#[test]
fn frames_that_are_refused_and_their_neighbours_that_are_not() {
    let long = |op: &[u8], len: &[u8]| [b"\x80\x02]".as_slice(), op, len, b"x."].concat();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"cos\nsystem\n(S'echo pwned'\ntR.".to_vec(), "frame_forbidden"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.".to_vec(), "frame_forbidden"),
        (b"(S'x'\nios\nsystem\n.".to_vec(), "frame_forbidden"),
        (b"(]oq\0.".to_vec(), "frame_forbidden"),
        (b"]]b.".to_vec(), "frame_forbidden"),
        (b"])\x81.".to_vec(), "frame_forbidden"),
        (b"])}\x92.".to_vec(), "frame_forbidden"),
        (b"Px\n.".to_vec(), "frame_forbidden"),
        (b"K\x01Q.".to_vec(), "frame_forbidden"),
        (b"\x82\x01.".to_vec(), "frame_forbidden"),
        (b"\x96\x01\0\0\0\0\0\0\0x.".to_vec(), "frame_forbidden"),
        (b"\x97.".to_vec(), "frame_forbidden"),
        // Forbidden behind good elements: nothing of the frame is stored.
        (
            [b"\x80\x02]".as_slice(), &text("bad"), b"K\x01K\x01\x86\x86acos\nsystem\n."].concat(),
            "frame_forbidden",
        ),
        (b"\x80\x06].".to_vec(), "frame_malformed"),
        (b"GET / HTTP".to_vec(), "frame_forbidden"),
        (b"]".to_vec(), "frame_malformed"),
        (b".".to_vec(), "frame_malformed"),
        (b"0.".to_vec(), "frame_malformed"),
        (b"1.".to_vec(), "frame_malformed"),
        (b"2.".to_vec(), "frame_malformed"),
        (b"t.".to_vec(), "frame_malformed"),
        (b"K\x01\x86.".to_vec(), "frame_malformed"),
        (b"]a.".to_vec(), "frame_malformed"),
        (b"]e.".to_vec(), "frame_malformed"),
        (b"](e".to_vec(), "frame_malformed"),
        (b")K\x01a.".to_vec(), "frame_malformed"),
        (b"K\x01(K\x01e.".to_vec(), "frame_malformed"),
        (b"](]a.".to_vec(), "frame_malformed"),
        (b"(e.".to_vec(), "frame_malformed"),
        (b"h\x00.".to_vec(), "frame_malformed"),
        (b"g7\n.".to_vec(), "frame_malformed"),
        (b"]j\xff\xff\xff\xffa.".to_vec(), "frame_malformed"),
        (b"q\0.".to_vec(), "frame_malformed"),
        (b"Ix\n.".to_vec(), "frame_malformed"),
        (b"I5".to_vec(), "frame_malformed"),
        (b"S'x\n.".to_vec(), "frame_malformed"),
        (b"G\0\0.".to_vec(), "frame_malformed"),
        (b"\x95\xff\xff\xff\xff\xff\xff\xff\xff.".to_vec(), "frame_malformed"),
        (long(b"X", &[0xff; 4]), "frame_malformed"),
        (long(b"T", &[0xff; 4]), "frame_malformed"),
        (long(b"\x8b", &[0xff; 4]), "frame_malformed"),
        (long(b"\x8b", &[0xff, 0xff, 0xff, 0x7f]), "frame_malformed"),
        (long(b"\x8a", &[0xff]), "frame_malformed"),
        (long(b"U", &[0xff]), "frame_malformed"),
        (long(b"\x8d", &[0xff; 8]), "frame_malformed"),
        (long(b"\x8e", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), "frame_malformed"),
        (b"K\x07.".to_vec(), "frame_shape"),
        (b"N.".to_vec(), "frame_shape"),
        (b"}.".to_vec(), "frame_shape"),
        ([text("x").as_slice(), b"."].concat(), "frame_shape"),
    ];
    for (pickle, reason) in cases {
        let good = single("ok", b"K\x01", b"K\x01");
        let (rows, rejects, ends) = decode_frames(&[frame(&pickle), frame(&good)].concat());
        let shown = String::from_utf8_lossy(&pickle);
        assert_eq!((rejects, ends), (vec![(reason, 1)], false), "{shown}");
        assert_eq!(rows, ["ok 1000 value=1.0"], "{shown}");
    }
    let mut rejects = Rejects::default();
    let mut core = Core::tight(1, 0);
    core.decode_pickle(&frame(b"cos\nsystem\n."), &[], &mut rejects);
    let sample = rejects.take_sample(Reject::FrameForbidden).unwrap();
    assert_eq!(&*sample, b"opcode GLOBAL at byte 0, in a frame of 12 bytes");
}

#[test]
fn dicts_and_sets_are_read_over() {
    for opaque in [
        b"}".as_slice(),
        b"}K\x01K\x02s",
        b"}(K\x01K\x02u",
        b"(K\x01K\x02d",
        b"\x8f(K\x01\x90",
        b"(K\x01\x91",
    ] {
        let ok = [text("ok").as_slice(), b"K\x01K\x01\x86\x86"].concat();
        let pickle = [b"\x80\x04](".as_slice(), opaque, &ok, b"e."].concat();
        let (rows, rejects) = decode_one(&pickle);
        assert_eq!((rows.len(), rejects), (1, vec![("element_shape", 1)]), "{opaque:?}");
    }
}

#[test]
fn what_follows_the_stop_is_ignored() {
    let pickle = [single("m", b"K\x01", b"K\x01").as_slice(), b"cos\nsystem\n"].concat();
    assert_eq!(decode_one(&pickle).0.len(), 1);
}

#[test]
fn a_frame_beyond_the_limit_ends_the_stream_and_one_of_it_does_not() {
    let head = (FRAME_BYTES_MAX as u32 + 1).to_be_bytes();
    let good = frame(&single("m", b"K\x01", b"K\x01"));
    let (rows, rejects, ends) = decode_frames(&[good.as_slice(), &head].concat());
    assert_eq!((rows.len(), rejects, ends), (1, vec![("frame_too_long", 1)], true));
    let (rows, rejects, ends) = decode_frames(b"GET / HTTP/1.1\r\n");
    assert_eq!((rows.len(), rejects, ends), (0, vec![("frame_too_long", 1)], true));
    let mut full = single("m", b"K\x01", b"K\x01");
    full.resize(FRAME_BYTES_MAX, 0);
    assert_eq!(decode_one(&full).0.len(), 1);
}

#[test]
fn bombs_cost_no_more_than_their_bytes() {
    let nested = [vec![b']'; 100_000], vec![b'a'; 99_999], vec![b'.']].concat();
    assert_eq!(decode_one(&nested).1, [("element_shape", 1)]);
    let marks = [vec![b'('; 500_000], b"].".to_vec()].concat();
    assert_eq!(decode_one(&marks), (vec![], vec![]));
    let tuples = [b")".to_vec(), vec![0x85; 500_000], b".".to_vec()].concat();
    assert_eq!(decode_one(&tuples).1, [("element_shape", 1)]);
    // A list that holds itself, and one that doubles itself thirty times.
    assert_eq!(decode_one(b"]q\0h\0aK\x01K\x02K\x03N0000.").1, [("element_shape", 1)]);
    let doubling: Vec<u8> = (0..30u8).flat_map(|_| *b"2\x86").collect();
    let doubling = [b"]".as_slice(), &doubling, b"\x85."].concat();
    assert_eq!(decode_one(&doubling).1, [("element_shape", 1)]);
    // One element named by the memo again and again.
    let mut repeated = [b"](".as_slice(), &text("m"), b"K\x01K\x01\x86\x86q\0"].concat();
    (0..300_000).for_each(|_| repeated.extend_from_slice(b"h\0"));
    repeated.extend_from_slice(b"e.");
    assert_eq!(decode_one(&repeated).1, [("frame_elements", 1)]);
    let digits = [b"]L".as_slice(), &vec![b'9'; 1_000_000], b"L\na."].concat();
    assert_eq!(decode_one(&digits).1, [("element_shape", 1)]);
    // A slot of the memo far away costs one entry.
    let far = [b"]r\xff\xff\xff\xff".as_slice(), b"0j\xff\xff\xff\xff."].concat();
    assert_eq!(decode_one(&far), (vec![], vec![]));
}

#[test]
fn a_cut_frame_waits_for_its_end() {
    let bytes = frame(&single("m", b"K\x01", b"K\x01"));
    for cut in 0..bytes.len() {
        let mut core = Core::tight(1, 0);
        let (mut store, mut rejects) = (Store::new(), Rejects::default());
        let cuts: Vec<usize> = (1..=cut).collect();
        let left = core.decode_pickle(&bytes, &cuts, &mut rejects);
        core.store(&mut store);
        assert_eq!((left, store.len(), rejects.total()), ((0, false), 1, 0));
        let left = core.decode_pickle(&bytes[..cut], &[], &mut rejects);
        assert_eq!((left, core.store(&mut store).0), ((cut, false), 0));
    }
}

/// An element as a sender would have it: path, seconds, value.
type Point = (String, i32, f64);

fn element_bytes((path, time, value): &Point, style: u8) -> Vec<u8> {
    let path = match style % 3 {
        0 => text(path),
        1 => [b"X".as_slice(), &(path.len() as u32).to_le_bytes(), path.as_bytes()].concat(),
        _ => format!("S'{path}'\n").into_bytes(),
    };
    let time = match style % 4 {
        0 => [b"J".as_slice(), &time.to_le_bytes()].concat(),
        1 => [b"G".as_slice(), &f64::from(*time).to_be_bytes()].concat(),
        2 => format!("L{time}L\n").into_bytes(),
        _ => format!("V{time}\n").into_bytes(),
    };
    let value = match style % 2 {
        0 => [b"G".as_slice(), &value.to_be_bytes()].concat(),
        _ => format!("F{value}\n").into_bytes(),
    };
    match style % 5 {
        0 => [b"(".as_slice(), &path, b"(", &time, &value, b"tt"].concat(),
        1 => [b"](".as_slice(), &path, b"](", &time, &value, b"ee"].concat(),
        _ => [path.as_slice(), &time, &value, b"\x86\x94\x86"].concat(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn points_in_any_style_and_cut_are_stored(
        frames in prop::collection::vec(
            prop::collection::vec(("[ab](\\.[ab]){0,2}", 0..9i32, -9.0..9.0f64), 0..6), 1..5),
        style in any::<u8>(),
        cuts in prop::collection::vec(0..400usize, 0..4),
    ) {
        let (mut bytes, mut expected) = (Vec::new(), Store::new());
        for points in &frames {
            let mut pickle = b"\x80\x02](".to_vec();
            for point in points {
                pickle.extend(element_bytes(point, style));
                let (path, time, value) = point;
                let at = (path.clone(), i64::from(*time) * 1_000_000_000, "value".to_owned());
                let kind = crate::model::FieldType::Float;
                expected.insert((at.0, at.1, at.2, kind), format!("{value:?}"));
            }
            pickle.extend_from_slice(b"e.");
            bytes.extend(frame(&pickle));
        }
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
        cuts.sort_unstable();
        let mut core = Core::tight(3, 0);
        for cuts in [&[][..], &cuts] {
            let (mut store, mut rejects) = (Store::new(), Rejects::default());
            let left = core.decode_pickle(&bytes, cuts, &mut rejects);
            core.store(&mut store);
            prop_assert_eq!(left, (0, false));
            prop_assert_eq!(&store, &expected);
            prop_assert_eq!(rejects.total(), 0);
        }
    }

    #[test]
    fn any_opcodes_end(bytes in prop::collection::vec(
        prop_oneof![3 => prop::sample::select(&b"]()(teal0120hqKMJGXUCN.\x86\x85\x87\x94\x80\x02\x01\0"[..]), 1 => any::<u8>()],
        0..200,
    )) {
        decode_one(&bytes);
    }
}
