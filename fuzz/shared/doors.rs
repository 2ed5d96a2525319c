//! What the targets of the doors share: one input is decoded whole, cut in two at a place that its
//! first byte chooses, and whole again, when all names and series are known. In: the input and a
//! decoder. Out: a panic unless all three times bring the same rows and the same refusals.

#[path = "../../tests/common/decoding.rs"]
mod decoding;

#[allow(unused_imports, reason = "some doors have reports of their own")]
pub use decoding::counts;
pub use decoding::Core;
use decoding::Store;
use std::fmt::Debug;

/// Checks an input; `decode` is given bytes and where they are cut, and says what was refused.
pub fn check<T: PartialEq + Debug>(
    input: &[u8],
    decode: impl Fn(&mut Core, &[u8], &[usize]) -> T,
) {
    let Some((cut, bytes)) = input.split_first() else { return };
    let cut = usize::from(*cut).min(bytes.len());
    let templates = ["a.* .host.measurement.field*", "measurement.host.measurement*"];
    let mut core = Core::tight(2, 0).with_templates("_", &["src=gr"], &templates);
    core.line_bytes_max = 1000;
    let mut outcome = |cuts: &[usize]| {
        let refused = decode(&mut core, bytes, cuts);
        let mut store = Store::new();
        let stored = core.store(&mut store);
        (refused, stored, store)
    };
    let first = outcome(&[]);
    assert_eq!(first, outcome(&[cut]), "cut at {cut}");
    assert_eq!(first, outcome(&[]), "names are known");
}
