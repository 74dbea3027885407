//! Headers of callers, judged: whoever is let in has called the gateway by a name of its own and bears
//! no mark of a browser, and whoever is refused did not or does.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../support/strangers.rs"]
mod strangers;

// Lines, each of a name, a colon and a value.
fuzz_target!(|input: &[u8]| strangers::check(&strangers::headers(input)));
