//! Fuzzes the reader that the environment variable READER names. Building one binary for all readers takes only a
//! fraction of the time.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../../core/tests/readers/mod.rs"]
#[allow(dead_code)]
mod readers;

static READER: LazyLock<String> = LazyLock::new(|| std::env::var("READER").expect("READER names a reader"));

fuzz_target!(|data: &[u8]| readers::run(&READER, data));
