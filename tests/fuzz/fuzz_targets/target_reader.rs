//! Requests as bytes, read by `framing` and by hyper: nothing that hyper takes may
//! change, and nothing may be refused without a reason.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../support/differential.rs"]
mod differential;

fuzz_target!(|input: &[u8]| {
    // The first byte says how the others are cut into pieces.
    if let [split, bytes @ ..] = input {
        differential::check(bytes, u64::from(*split));
    }
});
