//! One program for all targets: HERMES_GW_FUZZ names the one that it runs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hermes_gw::fuzz::run(data));
