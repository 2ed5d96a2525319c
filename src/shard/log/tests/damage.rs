//! Changed bytes, shortened, missing and strange files.

use super::*;

fn no_loss() -> Options {
    options()
}

fn accepting() -> Options {
    Options { accept_loss: true, ..options() }
}

/// Bits worth turning over: the head's fields, the payload, the padding.
fn bits_of(at: &At) -> Vec<u64> {
    let bytes = at.head.bytes();
    let len = u64::from(at.head.len);
    let mut places = vec![0, 8, 12, 14, 16, 24, 32, 40, 48, 56, 63, bytes / 2, bytes - 1];
    places.extend((len > 0).then_some(64 + len / 2));
    places
        .iter()
        .map(|place| (at.offset + place) * 8 + (place * 5 + at.offset / 4096) % 8)
        .collect()
}

#[test]
fn any_flipped_bit_of_an_acknowledged_commit_is_found_where_it_is() {
    let (image, ledger) = lived(40, false);
    let commits = commits(&image);
    let files: std::collections::BTreeSet<_> = commits.iter().map(|at| &at.file).collect();
    assert!(commits.len() > 40 && files.len() > 3);
    for at in &commits[..commits.len() - 1] {
        for bit in bits_of(at) {
            let mut image = image.clone();
            assert!(image.flip_bit(&at.file, bit));
            match start(image, &ledger, no_loss()) {
                Err(LogError::Damaged { file, offset, .. }) => {
                    assert_eq!((&file, offset), (&at.file, at.offset), "bit {bit}");
                }
                // The first commit is the seal of the start: nothing was lost with it.
                Ok((_, seqs)) if at.head.records == 0 => {
                    assert_eq!(seqs.len() as u64, ledger.acked)
                }
                other => panic!("bit {bit} of {at:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_last_commit_is_torn_unless_it_was_sealed() {
    let (image, ledger) = lived(10, false);
    let commits = commits(&image);
    let last = commits.last().unwrap();
    let mut torn = image.clone();
    assert!(torn.flip_bit(&last.file, (last.offset + 70) * 8));
    let (recovered, seqs) = start(torn, &ledger, no_loss()).unwrap();
    assert_eq!(seqs.len() as u64, ledger.acked - u64::from(last.head.records));
    let found = recovered.torn.expect("it is reported");
    assert_eq!((found.file, found.offset), (last.file.clone(), last.offset));
    assert_eq!(found.bytes, last.head.bytes());

    // A start seals; so the same commit is safe from then on.
    let sim = Sim::restart(1, image);
    let env = sim.env(0);
    let shared = Shared::new(RefCell::new(ledger));
    sim.run(open(&env, &shared, no_loss(), true)).unwrap().unwrap();
    let mut sealed = sim.disk().power_cut(CutMode::DropAll);
    assert!(sealed.flip_bit(&last.file, (last.offset + 70) * 8));
    let refused = start(sealed, &shared.borrow(), no_loss());
    assert!(matches!(refused, Err(LogError::Damaged { .. })), "{refused:?}");
}

#[test]
fn a_torn_tail_is_reported_once() {
    let (mut image, ledger) = lived(10, false);
    let last = commits(&image).pop().unwrap();
    assert!(image.flip_bit(&last.file, (last.offset + 70) * 8));
    let shared = Shared::new(RefCell::new(ledger));
    for torn in [true, false, false] {
        let sim = Sim::restart(1, image);
        let env = sim.env(0);
        let (_, recovered) = sim.run(open(&env, &shared, no_loss(), false)).unwrap().unwrap();
        assert_eq!(recovered.torn.is_some(), torn);
        image = sim.disk().power_cut(CutMode::DropAll);
    }
}

#[test]
fn a_damaged_header_of_a_used_file_is_found() {
    let (image, ledger) = lived(40, false);
    for at in commits(&image).iter().filter(|at| at.offset == FIRST_COMMIT) {
        for bit in [3, 8 * 8, 16 * 8, 24 * 8 + 5, 40 * 8, 4095 * 8] {
            let mut image = image.clone();
            assert!(image.flip_bit(&at.file, bit));
            let refused = start(image.clone(), &ledger, no_loss());
            let Err(LogError::Damaged { file, offset: 0, .. }) = refused else {
                panic!("{at:?}: {refused:?}")
            };
            assert_eq!(file, at.file);
            let (recovered, seqs) = start(image, &ledger, accepting()).unwrap();
            assert_eq!((seqs.len() as u64, recovered.lost), (ledger.acked, Vec::new()));
        }
    }
}

#[test]
fn accepted_loss_is_what_was_hit_and_is_reported() {
    let (image, ledger) = lived(40, false);
    let commits = commits(&image);
    let hit = commits.iter().find(|at| at.head.first_seq > 20 && at.head.records > 1).unwrap();
    let mut image = image.clone();
    assert!(image.flip_bit(&hit.file, (hit.offset + 100) * 8));
    let (recovered, seqs) = start(image, &ledger, accepting()).unwrap();
    let lost = recovered.lost.first().unwrap();
    assert_eq!((&lost.file, lost.offset), (&hit.file, hit.offset));
    assert_eq!((lost.first_seq, lost.end_seq), (hit.head.first_seq, hit.head.end_seq()));
    let left = (1..=ledger.acked).filter(|seq| !(lost.first_seq..lost.end_seq).contains(seq));
    assert_eq!(seqs, left.collect::<Vec<_>>());
}

#[test]
fn damage_before_the_first_wanted_record_does_no_harm() {
    let (image, mut ledger) = lived(40, false);
    ledger.from_seq = ledger.acked - 5;
    for at in commits(&image).iter().filter(|at| at.head.end_seq() <= ledger.from_seq) {
        let mut image = image.clone();
        assert!(image.flip_bit(&at.file, (at.offset + 64) * 8));
        let (recovered, seqs) = start(image, &ledger, no_loss()).unwrap();
        assert_eq!((seqs.len(), recovered.lost), (6, Vec::new()));
    }
}

#[test]
fn a_newest_file_cut_or_filled_anywhere_starts() {
    let (image, ledger) = lived(40, false);
    let commits = commits(&image);
    let newest = commits.last().unwrap();
    let tail: Vec<_> = commits.iter().filter(|at| at.file == newest.file).rev().take(4).collect();
    let bytes = image.read(&newest.file).unwrap();
    let end = newest.offset + newest.head.bytes();
    for cut in (tail.last().unwrap().offset..end).step_by(509) {
        let kept = commits
            .iter()
            .filter(|at| at.file != newest.file || at.offset + at.head.bytes() <= cut);
        let kept = kept.map(|at| at.head.end_seq() - 1).max().unwrap();
        for fill in [None, Some(0), Some(0xa5)] {
            let mut bytes = bytes.clone();
            bytes.truncate(cut as usize);
            if let Some(fill) = fill {
                bytes.resize(image.read(&newest.file).unwrap().len(), fill);
            }
            let mut image = image.clone();
            image.write(&newest.file, &bytes);
            let (_, seqs) = start(image, &ledger, no_loss()).unwrap();
            // Zeros may stand where zeros stood.
            let zeros = fill == Some(0) && seqs.len() as u64 > kept;
            assert!(zeros || seqs == (1..=kept).collect::<Vec<_>>(), "cut at {cut}, {fill:?}");
        }
    }
}

#[test]
fn missing_files_are_noticed() {
    let (image, ledger) = lived(40, false);
    let commits = commits(&image);
    let newest = &commits.last().unwrap().file;
    for path in image.paths().iter().filter(|path| commits.iter().any(|at| at.file == **path)) {
        let mut image = image.clone();
        image.remove(path);
        let result = start(image, &ledger, no_loss());
        // Without the newest file nothing on the log's own disk tells of it; the manifest may.
        let noticed = matches!(result, Err(LogError::Damaged { .. }));
        assert!(noticed || path == newest, "{}: {result:?}", path.display());
    }
    let mut ledger = ledger;
    ledger.from_seq = 5;
    let refused = start(Image::new(), &ledger, no_loss());
    assert!(matches!(refused, Err(LogError::Damaged { .. })), "{refused:?}");
    start(Image::new(), &ledger, accepting()).unwrap();
}

#[test]
fn strange_files_and_copies_are_reported_and_left_alone() {
    let (mut image, ledger) = lived(40, false);
    let first = commits(&image).first().unwrap().file.clone();
    let copy = image.read(&first).unwrap();
    image.write(&dir().join("log-000900"), &copy);
    image.write(&dir().join("notes.txt"), b"hello");
    let mut foreign = vec![0; 8192];
    let other = Identity { store: 78, ..IDENTITY };
    frame::put_file_header(&Place::log(other), 3, &mut foreign[..4096]);
    image.write(&dir().join("log-000901"), &foreign);
    let (recovered, seqs) = start(image, &ledger, no_loss()).unwrap();
    assert_eq!(seqs.len() as u64, ledger.acked);
    assert_eq!(recovered.unknown, ["log-000901", "notes.txt", "log-000900"]);
}

#[test]
fn a_manifest_that_lost_an_edit_is_noticed() {
    let (image, mut ledger) = lived(30, true);
    ledger.manifest_edit -= 1;
    let refused = start(image, &ledger, no_loss());
    assert!(matches!(refused, Err(LogError::ManifestBehind { .. })), "{refused:?}");
}

#[test]
fn what_the_caller_refuses_is_named_by_its_place() {
    let (image, _) = lived(5, false);
    let sim = Sim::restart(5, image);
    let origin = Origin { dir: &dir(), identity: IDENTITY, from_seq: 0, manifest_edit: 0 };
    let done = sim.run(recover(sim.env(0), origin, no_loss(), |seq, _| match seq {
        3 => Err("no such partition".to_owned()),
        _ => Ok(()),
    }));
    let Err(error) = done.unwrap() else { panic!("the start was refused") };
    let text = error.to_string();
    assert!(text.contains("log-000001") && text.contains("record 3: no such partition"), "{text}");
}
